"""Worst cases that are estimates, sample by sample: of attacks that ran on all samples and on the first few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile

import numpy as np
from numpy.typing import NDArray

from harness.base.threat import Epsilon
from harness.evidence.run_info import RunInfo
from leaderboard.estimates import ESTIMATED, Part, estimates_up
from leaderboard.rows import WORST, Score
from leaderboard.runs.record import CLEAN_PLACE, Place, Stages, Survivors


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


def of_run(
    info: RunInfo, survivors: Mapping[Place, Survivors], attacked: Mapping[str, NDArray[np.bool_]]
) -> tuple[dict[Place, Score], dict[str, Stages]]:
    """The estimated worst case of a run whose attacks say on how many samples they run.

    At the epsilons up to which every attack's cell is complete; the other scores are missing.
    """
    names = tuple(info.drawn)
    grid = list(takewhile(lambda e: all((name, e.label) in survivors for name in names), info.suite.grid))
    groups = []
    for _, group in groupby(names, lambda name: info.drawn[name]):
        attacks = tuple(group)
        rows = np.flatnonzero(attacked[attacks[0]]) if attacks[0] in attacked else np.arange(info.data.n)
        left, alive = survivors[CLEAN_PLACE][rows] if grid else np.zeros(len(rows), bool), []
        for epsilon in grid:
            for attack in attacks:
                left = left & survivors[attack, epsilon.label][rows]
            alive.append(left)
        groups.append(Group(attacks, rows, alive))
    return estimated(grid, groups) if grid else ({}, {})


def _part(attacks: tuple[str, ...], place: int, depth: NDArray[np.int64], passed: NDArray[np.int64]) -> Part:
    seen = depth > place
    return Part(
        attacks=attacks,
        n=int(seen.sum()),
        kept=int((seen & (passed > place)).sum()),
        drawn=int((seen & (passed >= place)).sum()),
    )
