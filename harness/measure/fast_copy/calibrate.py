"""A short measured calibration: which copy of a model is fastest here, and at which batch size.

What it finds is kept in the user's cache folder by model, device, threads, torch and question, so that the same command
on the same machine gives the same plan, and with it the same facts, bit for bit. One that a budget cut short is kept
for that run alone.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from harness.base.deadline import Deadline
from harness.base.files import key_of
from harness.base.folders import cache_folder
from harness.base.memory import is_out_of_memory, release
from harness.base.torch_state import Precision, arithmetic
from harness.inputs.reference import ReferenceModel
from harness.measure.fast_copy.copies import CopyRecipe, FastCopy, prepare
from harness.measure.fast_copy.ladder import Ladder, Time
from harness.measure.fast_copy.race import seconds_per_gradient

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
    _: KW_ONLY
    cached: bool = False
    """Whether an earlier run on this machine measured it."""
    cut: bool = False
    """Whether the time was over before all was tried."""


def calibrate(
    reference: ReferenceModel,
    images: Tensor,
    question: Question,
    identity: dict[str, Any],
    deadline: Deadline | None = None,
    run: str = "",
) -> Answer:
    """Choose recipe and batch size, from the cache if this was asked before.

    Args:
        reference: The entered reference.
        images: Some images [n,C,H,W] of the data, on any device.
        question: What may be chosen.
        identity: What names model and machine, JSON-able; with `question` the cache's key.
        deadline: When to take the best of what was tried; None tries all.
        run: Key of the run. It alone is given again what was found for it in too little time.
    """
    names = sorted(entry.name for entry in _speedups())
    asked = {"schema": SCHEMA_VERSION, "question": asdict(question), "speedups": names, **identity}
    folder, of_run = cache_folder() / "calibration", asked | {"run": run}
    path, path_of_run = (folder / f"{key_of(one)}.json" for one in (asked, of_run))
    known = (_read(path_of_run) if run else None) or _read(path)
    if known is not None:
        return known
    most, limit = images[: question.largest].to(reference.device), Time(deadline or Deadline())
    hasty = limit.over
    answer = replace(_with_less(most, lambda rows: _measure(reference, rows, question, limit)), cut=limit.cut)
    if not answer.cut:
        _write(path, answer, asked)
    elif run and not hasty:
        _write(path_of_run, answer, of_run)
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


def _measure(reference: ReferenceModel, images: Tensor, question: Question, limit: Time) -> Answer:
    device = reference.device
    exact = CopyRecipe()
    rows = images[:PROBE]
    if question.precision != "exact" and not _differentiable(reference.module, rows[:1]):
        return Answer(exact, _size(reference.module, rows, device, question, limit), {}, ("it has no input gradient",))
    if question.precision == "exact" or (question.precision == "auto" and question.compile != "on" and limit.over):
        return Answer(exact, _size(reference.module, rows, device, question, limit), {})
    start = min(seconds_per_gradient(reference.module, rows, device) for _ in range(2))  # the first one warms up
    if question.precision == "auto" and start < TRIVIAL:
        return Answer(exact, _size(reference.module, rows, device, question, limit), {str(exact): round(1 / start, 1)})
    precision: Precision = "float32" if question.precision == "auto" else question.precision  # type: ignore[assignment]
    rows = images[: max(PROBE, min(int(MOMENT / start), question.batch_size or question.largest))]
    ladder = Ladder(reference, rows, start, limit)
    fastest = ladder.climb(CopyRecipe(precision=precision), compiled=question.compile == "on")
    if question.precision != "auto" or question.compile == "on":
        copies = [recipe for recipe in ladder.speeds if not recipe.exact]
        if fastest.exact and copies:  # a copy was asked for
            fastest = max(copies, key=lambda recipe: ladder.speeds[recipe])
    elif ladder.speeds[fastest] < WORTH * ladder.speeds[exact]:
        fastest = exact
    with arithmetic(fastest.precision):
        size = _size(ladder.copies[fastest], rows, device, question, limit)
    measured = {str(recipe): round(speed, 1) for recipe, speed in ladder.speeds.items()}
    return Answer(fastest, size, measured, tuple(ladder.unfit))


def _size(network: nn.Module, rows: Tensor, device: torch.device, question: Question, limit: Time) -> int:
    if question.batch_size is not None:
        return question.batch_size
    return find_batch_size(network, tuple(rows.shape[1:]), device, question.largest, lambda: limit.over)


def find_batch_size(
    network: nn.Module,
    shape: tuple[int, ...],
    device: torch.device,
    largest: int,
    over: Callable[[], bool] = lambda: False,
) -> int:
    """Rows at a time where forward and input gradient stop getting faster by 5 %, at most `largest`.

    Doubles from 32 until two sizes in a row bring nothing (one may be noise); memory running out ends the search, too,
    and so does the time: `over` is asked before each size.
    """
    size = best = min(32, largest)
    fastest, idle = 0.0, 0
    while idle < 2 and not over():
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
        measured, unfit, cut = dict(value["measured"]), tuple(value["unfit"]), bool(value.get("cut", False))
        return Answer(recipe, int(value["batch_size"]), measured, unfit, cached=True, cut=cut)
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
