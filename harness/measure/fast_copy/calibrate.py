"""A short measured calibration: which copy of a model is fastest here, and at which batch size.

What it finds is kept in the user's cache folder by model, device, threads, torch and question, so that the same command
on the same machine gives the same plan, and with it the same facts, bit for bit.
"""

from __future__ import annotations

import contextlib
import json
import os
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
from harness.measure.fast_copy.race import race, seconds_per_gradient

SCHEMA_VERSION = 3
WORTH = 1.05
"""A copy has to be this many times as fast as the model itself."""
TRIVIAL = 2e-5
"""Seconds for one input gradient below which the model itself is attacked: nothing would be gained."""
PROBE = 32
"""Rows that recipes are compared on, at least: of a small network so many that a gradient takes a `MOMENT`."""
MOMENT = 0.02
"""Seconds."""

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
    """Input gradients per second by recipe, in words; the model's, times what each step gained in its race."""
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
    most = images[: question.largest].to(reference.device)
    answer = _with_less(most, lambda rows: _measure(reference, rows, question))
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
    device = reference.device
    exact = CopyRecipe()
    rows = images[:PROBE]
    if question.precision != "exact" and not _differentiable(reference.module, rows[:1]):
        return Answer(exact, _size(reference.module, rows, device, question), {}, ("it has no input gradient",))
    if question.precision == "exact":
        return Answer(exact, _size(reference.module, rows, device, question), {})
    start = min(seconds_per_gradient(reference.module, rows, device) for _ in range(2))  # the first one warms up
    if question.precision == "auto" and start < TRIVIAL:
        return Answer(exact, _size(reference.module, rows, device, question), {str(exact): round(1 / start, 1)})
    precision: Precision = "float32" if question.precision == "auto" else question.precision  # type: ignore[assignment]
    rows = images[: max(PROBE, min(int(MOMENT / start), question.batch_size or question.largest))]
    ladder = _Ladder(reference, rows, start)
    fastest = ladder.climb(CopyRecipe(precision=precision), compiled=question.compile == "on")
    if question.precision != "auto" or question.compile == "on":
        copies = [recipe for recipe in ladder.speeds if not recipe.exact]
        if fastest.exact and copies:  # a copy was asked for
            fastest = max(copies, key=lambda recipe: ladder.speeds[recipe])
    elif ladder.speeds[fastest] < WORTH * ladder.speeds[exact]:
        fastest = exact
    with arithmetic(fastest.precision):
        size = _size(ladder.copies[fastest], rows, device, question)
    measured = {str(recipe): round(speed, 1) for recipe, speed in ladder.speeds.items()}
    return Answer(fastest, size, measured, tuple(ladder.unfit))


class _Ladder:
    """Prepares a copy one step at a time; each is kept if it pays by more than the noise of the measurement.

    Args:
        reference: The entered reference.
        rows: What copies are compared and timed on, [n,C,H,W].
        seconds: What an input gradient of one row takes the reference.
    """

    def __init__(self, reference: ReferenceModel, rows: Tensor, seconds: float) -> None:
        self.reference, self.rows = reference, rows
        self.copies: dict[CopyRecipe, nn.Module] = {CopyRecipe(): reference.module}
        self.speeds = {CopyRecipe(): 1 / seconds}
        """Input gradients per second by recipe that was timed: the reference's, times what each step gained."""
        self.unfit: list[str] = []
        """Why steps could not be taken."""

    def climb(self, plain: CopyRecipe, compiled: bool) -> CopyRecipe:
        """The best recipe found from `plain` on, `compiled` if that is asked; the exact one if there can be no copy.

        What did not pay is tried once more after the order of memory has changed, on which much depends.
        """
        at = CopyRecipe()
        if plain != at:
            if not self._prepared(plain):
                return at
            self._pays(at, plain)
            at = plain
        left = list(useful_speedups(self.reference, self.rows[:2]))
        for _ in range(2):
            for name in tuple(left):
                step = replace(at, speedups=(*at.speedups, name))
                if not self._prepared(step):
                    left.remove(name)
                elif self._pays(at, step):
                    left.remove(name)
                    at = step
            turned = replace(at, channels_last=True)
            if at.channels_last or not self._prepared(turned) or not self._pays(at, turned):
                break
            at = turned
        if compiled and self._prepared(done := replace(at, compiled=True)):
            self._pays(at, done)
            return done
        return at

    def _prepared(self, recipe: CopyRecipe) -> bool:
        """Whether there is a copy by `recipe`; where not, it is noted why."""
        if recipe not in self.copies:
            try:
                self.copies[recipe] = prepare(self.reference, recipe, self.rows)
            except Unfit as error:
                self.unfit.append(str(error))
        return recipe in self.copies

    def _pays(self, at: CopyRecipe, step: CopyRecipe) -> bool:
        """Whether the copy by `step` is faster than the one by `at`."""
        run = race(self._timed(at), self._timed(step))
        self.speeds[step] = self.speeds[at] * run.ratio
        return run.won

    def _timed(self, recipe: CopyRecipe) -> Callable[[], float]:
        def seconds() -> float:
            with arithmetic(recipe.precision):
                return len(self.rows) * seconds_per_gradient(self.copies[recipe], self.rows, self.reference.device)

        return seconds


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
