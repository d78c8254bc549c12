"""What keeps a stranger's attack in its own cell: a time limit, a guard on the model, and a look at what came back."""

from __future__ import annotations

import ctypes
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import torch
from torch import Tensor, nn

from harness.base.masks import Masks
from harness.base.threat import distance, inside_ball
from harness.errors import PluginError
from harness.types import Kind, Norm


class UnitTimeout(BaseException):
    """The unit's time is up. A BaseException, so that no tool swallows it by accident."""


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise `UnitTimeout` inside the block once `seconds` are over, and every second from then on; None for no limit.

    It reaches Python code and what it waits for; a single call into native code is not broken off before it returns.
    """
    if seconds is None:
        yield
    elif seconds <= 0:
        raise UnitTimeout
    elif threading.current_thread() is threading.main_thread():
        with _alarm(seconds):
            yield
    else:
        with _interruption(seconds):
            yield


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """By signal, which wakes a sleeper, too; an alarm that somebody else has set goes on afterwards."""

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise UnitTimeout

    begun = time.monotonic()
    handler = signal.signal(signal.SIGALRM, ring)
    before, interval = signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if before:
            left = before - (time.monotonic() - begun)
            signal.setitimer(signal.ITIMER_REAL, max(left, 1e-3), interval)


@contextmanager
def _interruption(seconds: float) -> Iterator[None]:
    """For threads that get no signals: an exception at the thread's next line of Python."""
    thread, over, sent = threading.get_ident(), threading.Event(), threading.Event()
    lock = threading.Lock()

    def interrupt() -> None:
        wait = seconds
        while not over.wait(wait):
            wait = 1.0
            with lock:
                if not over.is_set():
                    sent.set()
                    _raise_in(thread, UnitTimeout)

    watch = threading.Thread(target=interrupt, daemon=True)
    watch.start()
    try:
        yield
    finally:
        with lock:
            over.set()
        if sent.is_set():
            _take_in(thread)


def _raise_in(thread: int, error: type[BaseException]) -> None:
    """Let `error` be raised in a thread, in place of one that was not raised yet."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))


def _take_in(thread: int) -> None:
    """Let what may still wait to be raised in this thread be raised here.

    Taking it back instead would leave Python 3.11 believing for ever that something waits: every evaluation asks again,
    and under ``sys.settrace`` (debuggers, coverage, AutoAttack's check of a model) it never goes on.
    """
    with suppress(UnitTimeout):
        _raise_in(thread, UnitTimeout)
        while True:
            pass


class Guard:
    """Notices that an attack changed the model it attacked, and puts the model back.

    It looks at parameters, modes and `requires_grad`; where one changed, buffers are put back, too. Buffers that
    predicting alone changes are the doctor's business.

    Args:
        modules: The model, and the copy of it that tools differentiate, as all units are to find them.
    """

    def __init__(self, *modules: nn.Module) -> None:
        module = nn.ModuleList(modules) if len(modules) > 1 else modules[0]
        self._parameters = [(name, tensor, tensor.detach().clone()) for name, tensor in module.named_parameters()]
        self._flags = [(tensor, tensor.requires_grad) for _, tensor, _ in self._parameters]
        self._buffers = [(tensor, tensor.detach().clone()) for tensor in module.buffers()]
        self._modes = [(name, part, part.training) for name, part in module.named_modules()]

    def restore(self) -> str | None:
        """Put everything back; what had been changed, in words, or None."""
        changed = None
        for name, part, training in self._modes:
            if part.training != training:
                part.training, changed = training, f"the mode of {name or 'the model'}"
        for tensor, flag in self._flags:
            tensor.requires_grad_(flag)
        with torch.no_grad():
            for name, tensor, before in self._parameters:
                if not torch.equal(tensor, before):
                    tensor.copy_(before)
                    changed = f"parameter {name}"
            if changed is not None:
                for buffer, kept in self._buffers:
                    buffer.copy_(kept)
        return changed


def breaches(
    images: Tensor | None, clean: Tensor, norm: Norm, epsilon: float, kind: Kind, masks: Masks | None = None
) -> tuple[Tensor, list[str]] | None:
    """Rows that an attack returned against its contract, bool [n], with what is wrong in words; None if all is well.

    Args:
        images: What came back: [n,C,H,W], or None where the attack returns nothing.
        clean: The images it was given.
        norm: Norm of the ball.
        epsilon: Radius of the ball; attacks of kind ``minimum`` and ``decision`` may leave it.
        kind: Kind of the attack.
        masks: Where a patch may lie in each row; None for a ball.

    Raises:
        PluginError: it is no tensor of the images' shape.
    """
    if images is None:
        return None
    if not isinstance(images, Tensor) or images.shape != clean.shape:
        got = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise PluginError(f"returned {got} for images {tuple(clean.shape)}")
    images = images.detach().to(clean.device)
    bad = ~torch.isfinite(images).flatten(1).all(1)
    words = [f"returned NaN or infinity for {int(bad.sum())} of {len(bad)} images"] if bool(bad.any()) else []
    if kind in ("budget", "targeted"):
        reach = distance(images.float().clamp(0, 1), clean, norm, masks)
        outside = ~bad & ~inside_ball(reach, epsilon, norm)
        if bool(outside.any()):
            farthest = float(reach[outside].max())
            where, what, limit = ("ball", f"{norm} distance", "epsilon") if masks is None else ("mask", "share", "of")
            words.append(
                f"left the {where} for {int(outside.sum())} of {len(bad)} images ({what} up to {farthest:.3g},"
                f" {limit} {epsilon:.3g})"
            )
            bad = bad | outside
    return (bad, words) if words else None
