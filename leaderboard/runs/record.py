"""A run as the leaderboard knows it: counted, with who survives where, whether it came from facts or was published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.base.modes import MODES
from harness.evidence.run_info import RunInfo
from harness.trust.verify.verdict import NO
from leaderboard.details import Picture
from leaderboard.rows import CLAIMED, CLEAN, UNVERIFIED, Note, Score

Place = tuple[str, str]
"""Attack id (or ``clean``, ``worst``) and epsilon label."""
CLEAN_PLACE: Place = (CLEAN, "0")


Mistakes = tuple[tuple[int, int, int], ...]
"""True class, class it is read as, and how many samples, by class."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Record:
    """One run, counted."""

    folder: Path
    info: RunInfo
    """The content of run.json; the keys that are used were checked."""
    scores: Mapping[Place, Score]
    """Clean, every attack and the worst case, at every epsilon of the grid."""
    survivors: Mapping[Place, Survivors]
    """Of complete scores: which samples, in the order of `sample_ids`, are right and not broken."""
    sample_ids: np.ndarray
    labels: np.ndarray
    mistakes: Mapping[str, Mistakes]
    """At ``0`` of the clean pass, and at every epsilon where the worst case is complete."""
    findings: tuple[Note, ...]
    """Of run.json and of the diagnosis, which is made again."""
    grade: str | None
    verified: str = UNVERIFIED
    pictures: tuple[Picture, ...] = ()
    no_pictures: str = "pictures were not asked for"
    listed: bool = False
    """Whether it is a published file whose verdict is a board's word."""
    attacked: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    """By attack that ran on the first samples only, which those are, [n]; nobody else is among its survivors."""
    stages: Mapping[str, Stages] = field(default_factory=dict)
    """Of an estimated worst case, which has no survivors; by epsilon label."""
    joined: JoinedRuns | None = None
    """The two runs that it was joined from."""

    @property
    def complete(self) -> bool:
        """Whether the run finished and every cell has a number."""
        return self.info.status == "complete" and all(score.known for score in self.scores.values())

    def given(self, attack: str) -> NDArray[np.bool_]:
        """Which samples an attack ran on, [n]."""
        return self.attacked.get(attack, np.ones(len(self.sample_ids), bool))

    @property
    def claim(self) -> bool:
        """Whether it is a published file that no board lists."""
        return self.verified == CLAIMED

    @property
    def refuted(self) -> bool:
        """Whether verification found what contradicts it."""
        return self.verified == NO

    @property
    def standing(self) -> int:
        """How far it is believed: 0 refuted, 1 a claim, 2 not verified, 3 its breaks verified, 4 replayed.

        Breaks bound robust accuracy from above alone: a run that claims none has nothing to prove.
        """
        if self.refuted or self.claim:
            return int(self.claim)
        return 2 if self.verified == UNVERIFIED else 4 if self.replayed else 3

    @property
    def replayed(self) -> bool:
        """Whether survivors were attacked again."""
        return self.verified.startswith("replayed ")


@dataclass(frozen=True, eq=False)
class Stages:
    """An estimate sample by sample: how many of its factors saw a sample, and how many of those it stood, in order."""

    depth: NDArray[np.int64]
    """1 for samples that only the first factor's attacks saw, and so on. Shape [n], as `Record.sample_ids`."""
    passed: NDArray[np.int64]
    """0 for samples that are misclassified or that the first factor's attacks broke; at most `depth`."""


@dataclass(frozen=True, eq=False, kw_only=True)
class JoinedRuns:
    """A cheap run on many samples and a dear one on the first of them, as one."""

    cheap: Record
    dear: Record

    @property
    def words(self) -> str:
        """``fgsm-pgd@1 on 2,000 x standard@1 on 200``."""
        return " x ".join(f"{r.info.suite.label} on {r.info.data.n:,}" for r in (self.cheap, self.dear))


def worst_is_attack(record: Record) -> bool:
    """Whether worst case and attack are the same by construction: a single attack, which inherits its witnesses."""
    attacks = record.info.suite.attacks
    alone = len(attacks) == 1 and attacks[0].iterative and MODES[record.info.mode].inherits != "never"
    return alone and record.joined is None


Survivors = NDArray[np.bool_]
"""For each sample, in one order for all models: classified correctly and not broken. Shape [n]."""
