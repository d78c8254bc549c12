"""The self-test's third part: voted on, randomized models keep their majority's accuracy in a ball of nothing.

Asked once at each step, such a model falls to its unlucky draws, which says nothing of robustness: P5 must object.
Asked often, with draws, no sample may be called broken that is not, and P5 has nothing to object to.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from torch.nn.functional import dropout

from harness.inputs.suite_file import read_suite
from harness.run.job import Options, evaluate
from harness.testing.selftest.broken import around, noisy
from harness.testing.selftest.examples import SEED, Example, classifier
from harness.testing.selftest.patterns import Patterns
from harness.types import Finding

SUITE = Path(__file__).with_name("randomized.toml")
IMAGES, DRAWS = 48, 50
DROPPED, NOISE = 0.9, 0.15
NEAR = 0.01
"""Largest share of the images by which robust and clean accuracy of the majority may differ."""
FLAGGED = ("warn", "error", "refuse")


def dropping() -> nn.Module:
    """The undefended network with a dropout of `DROPPED` that is never switched off."""
    network = classifier("plain")
    for part in network.modules():
        if isinstance(part, nn.Dropout):
            part.register_forward_hook(lambda _part, given, _answer: dropout(given[0], DROPPED, training=True))
    return network


@dataclass(frozen=True)
class Randomized:
    """A model that draws while it predicts."""

    name: str
    about: str
    """What it is, in one line."""
    model: Callable[[], nn.Module]
    """Builds the module: images [n,3,16,16] in [0,1] to logits."""


RANDOMIZED = (
    Randomized("dropout", "dropout that is never switched off", dropping),
    Randomized("noise", "noise added to every input", lambda: around(lambda x: noisy(x, NOISE))),
)
"""All of them."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What became of one of them; accuracies from 0 to 1."""

    model: Randomized
    clean: float
    """Of the majority."""
    robust: float
    """Of the majority, in the ball."""
    once: float
    """In the ball, asked once a query."""
    flagged: bool
    """Whether P5 objected where it was asked once."""
    alarm: bool
    """Whether P5 objected where it was asked often."""
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the majority stands, and P5 objected where it must and nowhere else."""
        return self.flagged and not self.alarm and self.clean - self.robust <= NEAR

    def finding(self) -> Finding:
        """What went wrong, where it did."""
        wrong = [
            *([] if self.clean - self.robust <= NEAR else [f"fell from {self.clean:.1%} to {self.robust:.1%} at 1e-5"]),
            *([] if self.flagged else ["was not flagged by P5 when it was asked once"]),
            *(["was flagged by P5 when it was asked often"] if self.alarm else []),
        ]
        return Finding("selftest", "error", f"{self.model.name} ({self.model.about}) {', '.join(wrong)}")

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.model.name,
            "about": self.model.about,
            "clean_accuracy": self.clean,
            "robust_accuracy": self.robust,
            "asked_once": self.once,
            "flagged": self.flagged,
            "alarm": self.alarm,
            "ok": self.ok,
            "seconds": round(self.seconds, 3),
        }


def keep(models: Iterable[Randomized] = RANDOMIZED) -> Iterator[Kept]:
    """Measure one model after the other, asked once and asked often, in folders that are thrown away."""
    for model in models:
        begun = time.monotonic()
        once, often = _summary(model, 0), _summary(model, DRAWS)
        yield Kept(
            model=model,
            clean=often["clean"]["accuracy"],
            robust=often["worst_case"][0]["robust_accuracy"],
            once=once["worst_case"][0]["robust_accuracy"],
            flagged=_flags(once),
            alarm=_flags(often),
            seconds=time.monotonic() - begun,
        )


def _summary(model: Randomized, draws: int) -> dict[str, Any]:
    data = Patterns(IMAGES, SEED)
    loaded, _ = Example(model.name, model.about, model.model, data=lambda: data).build()
    with tempfile.TemporaryDirectory() as folder:
        options = Options(Path(folder), device="cpu", batch_size=IMAGES, draws=draws, force=True)
        return evaluate(loaded, read_suite(SUITE), data, options).summary


def _flags(summary: dict[str, Any]) -> bool:
    return any(found["check"] == "P5" and found["level"] in FLAGGED for found in summary["findings"])
