"""What verifying a run establishes: proofs, contradictions, and what stays a claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.types import Finding

Mask = NDArray[np.bool_]
Ids = NDArray[np.int64]

NO, BREAKS = "no", "breaks verified"
SHOWN = 5
"""Samples named in a message; the rest are counted."""


class Contradictions:
    """Collects what contradicts the run's claims."""

    def __init__(self) -> None:
        self.found: list[Finding] = []

    def add(self, check: str, message: str) -> None:
        """Note one contradiction; `check` says which kind it is."""
        self.found.append(Finding(check, "error", message))

    def rows(self, check: str, where: str, ids: Ids, bad: Mask, what: str) -> None:
        """Note the samples `ids` [n] at which `bad`, bool [n], is set; nothing if there are none."""
        if bad.any():
            self.add(check, f"{where}: {what} ({samples(ids[bad].tolist())})")


def samples(ids: Sequence[int]) -> str:
    """``samples 3, 7 and 12 more``."""
    shown = ", ".join(str(i) for i in ids[:SHOWN])
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return f"sample{'s' if len(ids) > 1 else ''} {shown}{more}"


@dataclass(frozen=True, kw_only=True)
class Bound:
    """One cell: what the facts claim, and what the evidence proves."""

    attack: str | None
    """None for the worst case over all attacks."""
    epsilon: float
    epsilon_label: str
    claimed: float | None
    """Robust accuracy by the facts; None where the cell is not complete."""
    broken: int
    """Samples the facts call broken."""
    proved: int
    """Of these, samples with a witness at this or a smaller epsilon that holds here."""
    at_most: float
    """Proved: robust accuracy is at most this, for no attack can undo a witness."""


@dataclass(frozen=True, kw_only=True)
class Marginal:
    """A prediction so close that devices may disagree: margin below `MARGINAL` of the logit range."""

    sample_id: int
    attack: str
    """``clean`` for the unperturbed image."""
    epsilon_label: str
    recorded: float
    """Margin the run recorded."""
    here: float
    """Margin on this device; a witness holds if it is positive."""
    flipped: bool
    """Whether the prediction is another here, so that nothing is proved."""


@dataclass(frozen=True)
class Hit:
    """A survivor that the recorded attack broke when it was run again."""

    sample_id: int
    attack: str
    epsilon_label: str
    again: int
    """How many further runs broke it before one did not."""
    false: bool
    """Whether all of them did, and its unit, run as it was with the run's seed, as well: then it was no survivor."""


@dataclass(frozen=True, kw_only=True)
class Replay:
    """Survivors attacked again."""

    asked: int
    seed: int
    population: int
    """Survivors to draw from: one for each sample, attack and epsilon."""
    drawn: int
    repeats: int
    hits: tuple[Hit, ...]
    at_most: float
    """95 % upper bound (Clopper-Pearson, one-sided) on the share of survivors that one more run breaks."""

    @property
    def false(self) -> int:
        """Survivors that every further run broke as well, the last with the run's own seed."""
        return sum(hit.false for hit in self.hits)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What `verify` established of one run; nothing in it is taken on trust."""

    folder: Path
    run: str
    key: str
    problems: tuple[Finding, ...]
    """Each contradicts the run; empty means it holds."""
    notes: tuple[Finding, ...] = ()
    evidence: str = "none"
    """Which witnesses the run kept: ``all``, ``worst`` or ``none``."""
    bounds: tuple[Bound, ...] = ()
    marginals: tuple[Marginal, ...] = ()
    witnesses: int = 0
    """Witnesses that were judged again."""
    survivors: int = 0
    """Facts that say survived: claims, which no evidence proves."""
    replay: Replay | None = None
    device: str = ""
    seconds: float = field(default=0.0, compare=False)

    @property
    def ok(self) -> bool:
        """Whether nothing contradicts the run."""
        return not self.problems

    @property
    def value(self) -> str:
        """``no``, ``breaks verified`` or ``replayed K``, as a leaderboard shows it."""
        if self.problems:
            return NO
        return BREAKS if self.replay is None or not self.replay.drawn else f"replayed {self.replay.drawn}"

    def as_dict(self) -> dict[str, Any]:
        """The verdict as ``harness verify --json`` prints it."""
        return {
            "run": self.run,
            "folder": str(self.folder),
            "key": self.key,
            "verdict": self.value,
            "evidence": self.evidence,
            "problems": [finding.as_dict() for finding in self.problems],
            "notes": [finding.as_dict() for finding in self.notes],
            "bounds": [asdict(bound) for bound in self.bounds],
            "marginal": [asdict(marginal) for marginal in self.marginals],
            "witnesses": self.witnesses,
            "survivors": self.survivors,
            "replay": None if self.replay is None else {**asdict(self.replay), "false": self.replay.false},
            "device": self.device,
            "seconds": self.seconds,
        }
