"""Lanes: which units of a run depend on each other, and in which order each lane goes through its epsilons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.base.modes import MODES, runs_once, takes
from harness.base.threat import Epsilon
from harness.evidence import facts
from harness.evidence.store import Unit
from harness.inputs.prefixes import chunk_of
from harness.inputs.suite import Suite
from harness.measure import bisection
from harness.measure.unit.job import GRID
from harness.types import Attack

CLEAN_UNIT = "0"


@dataclass(frozen=True)
class Lane:
    """Units that depend on each other: one attack on one piece of a chunk. Attack None is the clean pass.

    A piece is a chunk of the attack's own: of attacks that have none, the suite's chunk is the only piece.
    """

    attack: int | None
    chunk: int
    piece: int = 0


def size_of(suite: Suite, lane: Lane) -> int:
    """Samples in a unit of the lane; the last one of the slice may be shorter."""
    return suite.chunk if lane.attack is None else chunk_of(suite.attacks[lane.attack], suite.chunk)


def rows_of(suite: Suite, lane: Lane) -> slice:
    """Which rows of its chunk the lane is about."""
    size = size_of(suite, lane)
    return slice(lane.piece * size, (lane.piece + 1) * size)


def lane_units(suite: Suite, attacks: Sequence[Attack], lane: Lane) -> list[tuple[Unit, tuple[Epsilon, ...]]]:
    """The units of a lane in order, each with the epsilons it covers."""
    if lane.attack is None:
        return [(Unit(facts.CLEAN, CLEAN_UNIT, lane.chunk), ())]
    name = suite.attacks[lane.attack].id
    chunk = lane.chunk * (suite.chunk // size_of(suite, lane)) + lane.piece
    if runs_once(attacks[lane.attack]):
        return [(Unit(name, GRID, chunk), suite.grid)]
    grid = suite.grid
    if bisects(suite, attacks, lane):
        grid = tuple(grid[place] for place in bisection.order(len(grid)))
    return [(Unit(name, epsilon.label, chunk), (epsilon,)) for epsilon in grid]


def bisects(suite: Suite, attacks: Sequence[Attack], lane: Lane) -> bool:
    """Whether the lane looks for the epsilon at which each sample breaks instead of going up the grid."""
    return lane.attack is not None and MODES[suite.mode].halves_of(attacks[lane.attack])


def all_lanes(suite: Suite, n: int, counts: Sequence[int] | None = None) -> list[Lane]:
    """All lanes, chunk by chunk, the clean pass of every chunk first; in this order each finds what it `needs`.

    Args:
        suite: The suite.
        n: Size of the slice.
        counts: On how many samples each attack runs; None for what the suite says.
    """
    chunks = range(-(-n // suite.chunk))
    lanes = [Lane(None, chunk) for chunk in chunks]
    counts = suite.counts(n) if counts is None else counts
    for chunk in chunks:
        for attack, count in enumerate(counts):
            size = chunk_of(suite.attacks[attack], suite.chunk)
            left = min(count - chunk * suite.chunk, suite.chunk)
            lanes += [Lane(attack, chunk, piece) for piece in range(-(-left // size))]
    return lanes


def needs(suite: Suite, attacks: Sequence[Attack], lane: Lane, n: int) -> list[Lane]:
    """The lanes that must be finished before `lane` begins.

    The clean pass of its chunk; and if the attack is spared what earlier ones broke, all of theirs on the same samples.
    Nothing else: what a later attack finds never reaches an earlier one.
    """
    if lane.attack is None:
        return []
    found = [Lane(None, lane.chunk)]
    attack = attacks[lane.attack]
    if MODES[suite.mode].shares_of(suite.attacks[lane.attack].after) and takes(attack, attack.target is not None):
        rows = rows_of(suite, lane)
        end = min(rows.stop, n - lane.chunk * suite.chunk)
        for earlier in range(lane.attack):
            size = chunk_of(suite.attacks[earlier], suite.chunk)
            found += [Lane(earlier, lane.chunk, piece) for piece in range(rows.start // size, -(-end // size))]
    return found
