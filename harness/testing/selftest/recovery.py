"""The self-test's second part: points that masks hide, and the share of them that ``--adapt auto`` recovers."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from torch import nn

from harness.inputs.suite import Suite
from harness.inputs.suite_file import read_suite
from harness.run.adaptive import evaluate
from harness.run.job import Options, Run
from harness.testing.selftest.examples import SEED, classifier
from harness.testing.selftest.hidden import HIDDEN, Mask
from harness.testing.selftest.networks import MEAN, STD
from harness.testing.selftest.patterns import SHAPE, Patterns
from harness.types import Finding, LoadedModel, ModelCard

SUITE = Path(__file__).with_name("hidden.toml")
IMAGES = 48
LEAST = 0.05
"""Share of the images that a mask must hide for its score to mean anything."""
GOAL = 0.9
"""Share of the hidden points from which a mask counts as broken."""


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """What became of one mask; accuracies are robust ones, in the worst case, from 0 to 1."""

    mask: Mask
    masked: float
    """Under the suite alone."""
    adapted: float
    """With the adapted attacks that the findings suggested."""
    true: float
    """Of the bare network, or an upper bound by hand."""
    tried: tuple[str, ...]
    """The adapted attacks."""
    seconds: float
    """Of the suite alone."""
    more: float
    """Seconds that the adapted attacks took besides, with the search for them."""

    @property
    def score(self) -> float | None:
        """Recovered of hidden, at most 1; None where the mask hides too little."""
        hidden = self.masked - self.true
        return min(1.0, (self.masked - self.adapted) / hidden) if hidden >= LEAST else None

    @property
    def broken(self) -> bool:
        """Whether the goal is reached."""
        return self.score is not None and self.score >= GOAL

    @property
    def ok(self) -> bool:
        """Whether the harness did what it says it does; a mask that hides too little says nothing."""
        return self.broken or self.score is None

    def finding(self) -> Finding:
        """What went wrong, where it did."""
        words = f"of {self.masked - self.true:.1%} hidden points {self.masked - self.adapted:.1%} were recovered"
        return Finding("selftest", "error", f"{self.mask.name} ({self.mask.about}) stands: {words}")

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.mask.name,
            "about": self.mask.about,
            "apart": self.mask.apart,
            "masked": self.masked,
            "adapted": self.adapted,
            "true": self.true,
            "score": self.score,
            "tried": list(self.tried),
            "seconds": round(self.seconds, 3),
            "more_seconds": round(self.more, 3),
        }


def recover(masks: Iterable[Mask] = HIDDEN) -> Iterator[Recovery]:
    """Measure one mask after the other, on the CPU, in folders that are thrown away."""
    for mask in masks:
        yield _one(mask)


def _one(mask: Mask) -> Recovery:
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        plain = _run(mask.name, mask.model(), Path(folder))
        middle = time.monotonic()
        adapted = _run(mask.name, mask.model(), Path(folder), "auto")
        ended = time.monotonic()
        true = _bare() if not mask.by_hand else _worst(_run(mask.name, mask.model(), Path(folder), *mask.by_hand))
    return Recovery(
        mask=mask,
        masked=_worst(plain),
        adapted=_worst(adapted),
        true=min(true, _worst(adapted)),  # what fell has a witness, whoever found it
        tried=tuple(attack.id for attack in adapted.info.suite.attacks if attack.adapt),
        seconds=middle - begun,
        more=ended - middle,
    )


@cache
def _bare() -> float:
    """Robust accuracy of the network under the masks, fully attacked."""
    with tempfile.TemporaryDirectory() as folder:
        return _worst(_run("bare", classifier("plain"), Path(folder), "margin", "temperature:4"))


def _run(name: str, module: nn.Module, folder: Path, *adapt: str) -> Run:
    suite: Suite = read_suite(SUITE)
    data = Patterns(IMAGES, SEED)
    card = ModelCard(name, "none", "small", len(data.classes), SHAPE, MEAN, STD)
    model = LoadedModel(name, module, len(data.classes), SHAPE, card=card)
    return evaluate(model, suite, data, Options(folder, device="cpu", batch_size=len(data), adapt=adapt, force=True))


def _worst(run: Run) -> float:
    """The worst case; where an attack found no gradient at all, the lowest of the cells that there are."""
    summary = run.summary
    values = [row["robust_accuracy"] for row in (*summary["worst_case"], *summary["cells"])]
    return min(float(value) for value in values if value is not None)
