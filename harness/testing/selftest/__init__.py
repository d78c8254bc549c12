"""The evaluator evaluated: broken defenses flagged, sound models left alone, masks broken, randomized models voted on.

Each example goes the way of any model: the doctor, the attacks of a suite (``suite.toml`` beside this file), the
diagnosis, all by `harness.run.job.evaluate`. Nothing is downloaded; images are drawn and the weights ship.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import BadData, ModelRefused, UnknownName
from harness.inputs.suite import Suite
from harness.inputs.suite_file import read_suite
from harness.run.job import Options, evaluate
from harness.testing.selftest.broken import BROKEN
from harness.testing.selftest.examples import Example
from harness.testing.selftest.hidden import HIDDEN, Mask
from harness.testing.selftest.randomized import RANDOMIZED, Randomized
from harness.testing.selftest.sound import SOUND
from harness.types import Finding

EXAMPLES = (*BROKEN, *SOUND)
SUITE = Path(__file__).with_name("suite.toml")
OBJECTIONS = ("refuse", "error", "warn")

__all__ = ["EXAMPLES", "Example", "Outcome", "choose", "examine", "run"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the harness said of one example."""

    example: Example
    said: tuple[str, ...]
    """Codes of the checks that refused, warned or called the numbers contradicted; each once."""
    refused: bool
    """Whether the model was refused, so that nothing was measured."""
    clean: float | None = None
    """Clean accuracy; None if nothing was measured."""
    worst: float | None = None
    """Robust accuracy in the worst case at the suite's smallest epsilon; None if nothing was measured, or not all."""
    grade: str | None = None
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the harness was right: all checks of a broken example objected, or none of a sound one."""
        return set(self.example.expects) <= set(self.said) if self.example.expects else not self.said

    @property
    def verdict(self) -> str:
        """``caught`` or ``missed``; ``left alone`` or ``false alarm``."""
        words = ("false alarm", "left alone") if self.example.sound else ("missed", "caught")
        return words[self.ok]

    def finding(self) -> Finding:
        """What went wrong, where it did."""
        others = f"only {', '.join(self.said)} did" if self.said else "nothing did"
        silent = [code for code in self.example.expects if code not in self.said]
        if self.example.sound:
            message = f"{self.example.name}, a sound model, is objected to by {', '.join(self.said)}"
        else:
            message = (
                f"{self.example.name} ({self.example.about}) was missed: {', '.join(silent)} must object, {others}"
            )
        return Finding("selftest", "error", message)

    def as_dict(self) -> dict[str, Any]:
        """The outcome for JSON."""
        return {
            "name": self.example.name,
            "about": self.example.about,
            "kind": "sound" if self.example.sound else "broken",
            "expects": list(self.example.expects),
            "said": list(self.said),
            "refused": self.refused,
            "verdict": self.verdict,
            "clean_accuracy": self.clean,
            "worst_case": self.worst,
            "grade": self.grade,
            "seconds": round(self.seconds, 3),
        }


def choose(names: Iterable[str]) -> tuple[list[Example], list[Mask], list[Randomized]]:
    """The examples, masks and randomized models of these names, all if there is none; a name may be of several.

    Raises:
        UnknownName: one of them is none of these.
    """
    examples = {example.name: example for example in EXAMPLES}
    masks = {mask.name: mask for mask in HIDDEN}
    drawing = {model.name: model for model in RANDOMIZED}
    known = {*examples, *masks, *drawing}
    chosen = dict.fromkeys(names)
    for name in chosen:
        if name not in known:
            raise UnknownName("example", name, known)
    return (
        [examples[name] for name in chosen or examples if name in examples],
        [masks[name] for name in chosen or masks if name in masks],
        [drawing[name] for name in chosen or drawing if name in drawing],
    )


def run(examples: Iterable[Example] = EXAMPLES) -> Iterator[Outcome]:
    """Examine one example after the other, on the CPU.

    Raises:
        MissingPackage: an attack tool is not installed, without which nothing can be said.
    """
    suite = read_suite(SUITE)
    for attack in suite.resolve():
        attack.tool_version()
    for example in examples:
        yield examine(example, suite)


def examine(example: Example, suite: Suite) -> Outcome:
    """Measure one example under `suite`, in a folder that is thrown away."""
    begun = time.monotonic()
    model, data = example.build()
    with tempfile.TemporaryDirectory() as folder:
        options = Options(Path(folder), device="cpu", batch_size=len(data), witnesses="none")
        try:
            summary = evaluate(model, suite, data, options).summary
        except (BadData, ModelRefused) as error:
            if error.check is None:
                raise
            return Outcome(example=example, said=(error.check,), refused=True, seconds=time.monotonic() - begun)
    said = dict.fromkeys(f["check"] for f in summary["findings"] if f["level"] in OBJECTIONS)
    worst = summary["worst_case"][0]["robust_accuracy"]
    clean = summary["clean"]["accuracy"]
    return Outcome(
        example=example,
        said=tuple(said),
        refused=False,
        clean=clean,
        worst=worst,
        grade=summary["grade"],
        seconds=time.monotonic() - begun,
    )
