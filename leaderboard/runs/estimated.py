"""Worst cases that are estimates, sample by sample: of attacks that ran on all samples and on the first few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.base.threat import Epsilon
from leaderboard.estimates import ESTIMATED, Part, estimates_up
from leaderboard.rows import WORST, Score
from leaderboard.runs.record import Place, Stages, Survivors


@dataclass(frozen=True, eq=False)
class Group:
    """Attacks that ran on the same samples, all of them or the first few."""

    attacks: tuple[str, ...]
    rows: NDArray[np.int64]
    """Places of these samples in the record's order, [m]."""
    alive: Sequence[Survivors]
    """At every epsilon, ascending: which of them are right and broken by none of these attacks here or below, [m]."""


def estimated(grid: Sequence[Epsilon], groups: Sequence[Group]) -> tuple[dict[Place, Score], dict[str, Stages]]:
    """The worst case of all groups at every epsilon, and by label how far each sample came.

    Args:
        grid: Ascending.
        groups: The first ran on all samples, each further one on a part of those of the one before it.
    """
    n = len(groups[0].rows)
    depth = np.zeros(n, np.int64)
    for group in groups:
        depth[group.rows] += 1
    stages, factors = {}, []
    for at, epsilon in enumerate(grid):
        passed = np.zeros(n, np.int64)
        for place, group in enumerate(groups):
            passed[group.rows] += (passed[group.rows] == place) & group.alive[at]
        stages[epsilon.label] = Stages(depth, passed)
        factors.append([_part(group.attacks, place, depth, passed) for place, group in enumerate(groups)])
    scores: dict[Place, Score] = {}
    for epsilon, estimate in zip(grid, estimates_up(factors), strict=True):
        scores[WORST, epsilon.label] = Score(
            attack=WORST,
            epsilon=epsilon.value,
            epsilon_label=epsilon.label,
            n=n,
            status=ESTIMATED,
            ci95=estimate.ci95,
            estimate=estimate,
        )
    return scores, stages


def _part(attacks: tuple[str, ...], place: int, depth: NDArray[np.int64], passed: NDArray[np.int64]) -> Part:
    seen = depth > place
    return Part(
        attacks=attacks,
        n=int(seen.sum()),
        kept=int((seen & (passed > place)).sum()),
        drawn=int((seen & (passed >= place)).sum()),
    )
