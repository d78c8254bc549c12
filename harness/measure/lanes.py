"""Lanes: which units of a run depend on each other, and in which order each lane goes through its epsilons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.base.modes import MODES, runs_once
from harness.base.threat import Epsilon
from harness.evidence import facts
from harness.evidence.store import Unit
from harness.inputs.suite import Suite
from harness.measure import bisection
from harness.measure.unit.compute import GRID
from harness.types import Attack

ALL = -1
"""The attack of a lane of all attacks, one after the other: in mode ``worst-case`` each is given what others found."""
CLEAN_UNIT = "0"


@dataclass(frozen=True)
class Lane:
    """Units that depend on each other: one attack on one chunk. Attack None is the clean pass, `ALL` every attack."""

    attack: int | None
    chunk: int


def lane_units(suite: Suite, attacks: Sequence[Attack], lane: Lane) -> list[tuple[Unit, tuple[Epsilon, ...]]]:
    """The units of a lane in order, each with the epsilons it covers."""
    if lane.attack is None:
        return [(Unit(facts.CLEAN, CLEAN_UNIT, lane.chunk), ())]
    if lane.attack == ALL:
        return [unit for one in range(len(attacks)) for unit in lane_units(suite, attacks, Lane(one, lane.chunk))]
    name = suite.attacks[lane.attack].id
    if runs_once(attacks[lane.attack]):
        return [(Unit(name, GRID, lane.chunk), suite.grid)]
    grid = suite.grid
    if bisects(suite, attacks, lane):
        grid = tuple(grid[place] for place in bisection.order(len(grid)))
    return [(Unit(name, epsilon.label, lane.chunk), (epsilon,)) for epsilon in grid]


def bisects(suite: Suite, attacks: Sequence[Attack], lane: Lane) -> bool:
    """Whether the lane looks for the epsilon at which each sample breaks instead of going up the grid."""
    if lane.attack in (None, ALL):
        return False
    return MODES[suite.mode].halves_of(attacks[lane.attack])


def all_lanes(suite: Suite, chunks: int) -> list[Lane]:
    """All lanes, chunk by chunk, the clean pass of every chunk first."""
    lanes = [Lane(None, chunk) for chunk in range(chunks)]
    attacks = [ALL] if MODES[suite.mode].shares else range(len(suite.attacks))
    return lanes + [Lane(attack, chunk) for chunk in range(chunks) for attack in attacks]
