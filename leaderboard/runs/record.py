"""A run as the leaderboard knows it: counted, with who survives where, whether it came from facts or was published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.base.modes import MODES
from harness.evidence.run_info import RunInfo
from harness.trust.verify.verdict import NO
from leaderboard.rows import CLAIMED, CLEAN, UNVERIFIED, Note, Picture, Score

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

    @property
    def complete(self) -> bool:
        """Whether the run finished and every cell has a number."""
        return self.info.status == "complete" and all(score.status == "ok" for score in self.scores.values())

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


def worst_is_attack(info: RunInfo) -> bool:
    """Whether worst case and attack are the same by construction: a single attack, which inherits its witnesses."""
    attacks = info.suite.attacks
    return len(attacks) == 1 and attacks[0].iterative and MODES[info.mode].inherits != "never"


Survivors = NDArray[np.bool_]
"""For each sample, in one order for all models: classified correctly and not broken. Shape [n]."""
