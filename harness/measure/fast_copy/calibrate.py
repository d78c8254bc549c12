"""A short measured calibration: which copy of a model is fastest here, and at which batch size.

What it finds is kept in the user's cache folder by model, device, threads, torch and question, so that the same command
on the same machine gives the same plan, and with it the same facts, bit for bit.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from harness.base.files import key_of
from harness.base.folders import cache_folder
from harness.base.memory import is_out_of_memory, release
from harness.base.torch_state import Precision, arithmetic
from harness.inputs.reference import ReferenceModel
from harness.measure.fast_copy.copies import CopyRecipe, FastCopy, Unfit, prepare, useful_speedups

SCHEMA_VERSION = 2
WORTH = 1.05
"""A copy has to be this many times as fast as the model itself."""
TRIVIAL = 2e-5
"""Seconds for one input gradient below which the model itself is attacked: nothing would be gained."""
PROBE = 32
"""Rows that recipes are compared on."""
ROUNDS = 3

Result = TypeVar("Result")


@dataclass(frozen=True)
class Question:
    """What the calibration may choose from."""

    precision: str = "auto"
    """``auto``, ``exact`` (the model itself), or a precision to force a copy in."""
    compile: str = "auto"
    """``auto``, ``on`` or ``off``."""
    batch_size: int | None = None
    """None looks for it."""
    largest: int = 512
    """Rows that a query can have at most."""


@dataclass(frozen=True)
class Answer:
    """What was chosen, and on which figures."""

    recipe: CopyRecipe
    batch_size: int
    measured: dict[str, float]
    """Input gradients per second by recipe, in words; measured on `PROBE` rows, in turn."""
    unfit: tuple[str, ...] = ()
    """Recipes that this model cannot be prepared by, and why."""
    cached: bool = False
    """Whether an earlier run on this machine measured it."""


def calibrate(reference: ReferenceModel, images: Tensor, question: Question, identity: dict[str, Any]) -> Answer:
    """Choose recipe and batch size, from the cache if this was asked before.

    Args:
        reference: The entered reference.
        images: Some images [n,C,H,W] of the data, on any device.
        question: What may be chosen.
        identity: What names model and machine, JSON-able; with `question` the cache's key.
    """
    names = sorted(entry.name for entry in _speedups())
    asked = {"schema": SCHEMA_VERSION, "question": asdict(question), "speedups": names, **identity}
    path = cache_folder() / "calibration" / f"{key_of(asked)}.json"
    known = _read(path)
    if known is not None:
        return known
    answer = _with_less(images[:PROBE].to(reference.device), lambda rows: _measure(reference, rows, question))
    _write(path, answer, asked)
    return answer


def make_copy(reference: ReferenceModel, recipe: CopyRecipe, images: Tensor) -> FastCopy | None:
    """The copy of a plan, or None where the model itself is attacked; raises `Unfit` as `prepare`."""
    if recipe.exact:
        return None
    return _with_less(images[:PROBE].to(reference.device), lambda rows: prepare(reference, recipe, rows))


def _with_less(rows: Tensor, ask: Callable[[Tensor], Result]) -> Result:
    """What `ask` makes of `rows` [n,C,H,W], or of half as many for as long as memory runs out."""
    while True:
        try:
            return ask(rows)
        except Exception as error:
            if not is_out_of_memory(error) or len(rows) == 1:
                raise
        release()
        rows = rows[: len(rows) // 2]


def _speedups() -> Sequence[Any]:
    from harness.inputs.registry import Registry

    return Registry("speedups").entries()


def _measure(reference: ReferenceModel, images: Tensor, question: Question) -> Answer:
    device, cap = reference.device, question.largest
    exact = CopyRecipe()
    rows = images[: min(len(images), cap)]
    if question.precision != "exact" and not _differentiable(reference.module, rows[:1]):
        return Answer(exact, _size(reference.module, rows, device, question), {}, ("it has no input gradient",))
    if question.precision == "exact":
        return Answer(exact, _size(reference.module, rows, device, question), {})
    start = seconds_per_gradient(reference.module, rows, device)
    if question.precision == "auto" and start < TRIVIAL:
        return Answer(exact, _size(reference.module, rows, device, question), {str(exact): round(1 / start, 1)})
    precision: Precision = "float32" if question.precision == "auto" else question.precision  # type: ignore[assignment]
    compiled = question.compile == "on"
    copies: dict[CopyRecipe, nn.Module] = {exact: reference.module}
    unfit: list[str] = []

    def add(recipe: CopyRecipe) -> bool:
        """Whether there is a copy by `recipe`."""
        if recipe not in copies:
            try:
                copies[recipe] = prepare(reference, recipe, rows)
            except Unfit as error:
                unfit.append(str(error))
        return recipe in copies

    speedups = _steps(add, useful_speedups(reference, rows[:2]), CopyRecipe((), False, precision, compiled))
    add(CopyRecipe(speedups, True, precision, compiled))
    best = dict.fromkeys(copies, float("inf"))
    for _ in range(ROUNDS):  # in turn, so that a machine that slows down slows all of them
        for recipe, network in copies.items():
            with arithmetic(recipe.precision):
                best[recipe] = min(best[recipe], seconds_per_gradient(network, rows, device))
    fastest = min(best, key=lambda recipe: best[recipe])
    forced = question.precision != "auto" or compiled
    if forced and len(best) > 1:
        fastest = min((recipe for recipe in best if not recipe.exact), key=lambda recipe: best[recipe])
    elif best[exact] < WORTH * best[fastest]:
        fastest = exact
    with arithmetic(fastest.precision):
        size = _size(copies[fastest], rows, device, question)
    measured = {str(recipe): round(1 / seconds, 1) for recipe, seconds in best.items()}
    return Answer(fastest, size, measured, tuple(unfit))


def _steps(add: Callable[[CopyRecipe], bool], speedups: tuple[str, ...], plain: CopyRecipe) -> tuple[str, ...]:
    """The speed-ups that this model can be prepared by together; one that breaks it does not cost it the others."""
    if add(replace(plain, speedups=speedups)):
        return speedups
    kept: tuple[str, ...] = ()
    for name in speedups if len(speedups) > 1 else ():
        if add(replace(plain, speedups=(*kept, name))):
            kept = (*kept, name)
    return kept


def _size(network: nn.Module, rows: Tensor, device: torch.device, question: Question) -> int:
    if question.batch_size is not None:
        return question.batch_size
    return find_batch_size(network, tuple(rows.shape[1:]), device, question.largest)


def find_batch_size(network: nn.Module, shape: tuple[int, ...], device: torch.device, largest: int) -> int:
    """Rows at a time where forward and input gradient stop getting faster by 5 %, at most `largest`.

    Doubles from 32 until two sizes in a row bring nothing (one may be noise); memory running out ends the search, too.
    """
    size = best = min(32, largest)
    fastest, idle = 0.0, 0
    while idle < 2:
        try:
            rows = torch.full((size, *shape), 0.5, device=device)
            speed = 1 / min(seconds_per_gradient(network, rows, device) for _ in range(3))  # the first one warms up
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            release()
            break
        if speed > fastest * 1.05:
            best, fastest, idle = size, speed, 0
        else:
            idle += 1
        if size >= largest:
            break
        size = min(size * 2, largest)
    return best


def seconds_per_gradient(network: nn.Module, rows: Tensor, device: torch.device) -> float:
    """Seconds for forward and input gradient of `rows` [n,C,H,W], for each of the n; one measurement.

    With one thread on a processor its own time is read, which other processes do not lengthen; else the wall's.
    """
    clock = time.thread_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    images = rows.detach().clone().requires_grad_()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = clock()
    with torch.enable_grad():
        out = network(images)
        if out.requires_grad:  # else there is only the forward to be timed
            torch.autograd.grad(out.sum(), images, allow_unused=True)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return max(clock() - start, 1e-9) / len(rows)


def _differentiable(network: nn.Module, rows: Tensor) -> bool:
    """Whether logits of `rows` [n,C,H,W] hang on the images in autograd's eyes."""
    with torch.enable_grad():
        out = network(rows.detach().clone().requires_grad_())
    return bool(out.requires_grad)


def _read(path: Path) -> Answer | None:
    """An earlier answer; None if there is none, or none that can be used."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))["answer"]
        recipe = CopyRecipe(**{**value["recipe"], "speedups": tuple(value["recipe"]["speedups"])})
        return Answer(recipe, int(value["batch_size"]), dict(value["measured"]), tuple(value["unfit"]), cached=True)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, answer: Answer, asked: dict[str, Any]) -> None:
    """Keep an answer; a cache that cannot be written only costs the next run its calibration."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps({"asked": asked, "answer": asdict(answer)}, indent=2) + "\n", encoding="utf-8")
        beside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
