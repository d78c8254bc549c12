"""Mode ``bisection``: for each sample, only the epsilons are attacked that are needed to find where it breaks.

A sample that survives a ball is taken to survive the smaller ones in it, and one that breaks is broken in the larger
ones. The second is certain, the first is not: an attack may find at a small epsilon what it misses at a large one. So
this mode is cheaper than the ascending order over many epsilons, and weaker at times; see ``docs/performance.md``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harness.evidence.facts import broken_rows, of_whole


def order(n: int) -> list[int]:
    """Places 0 to n-1 of a grid as they are visited: the middle, then the middles of both halves, and so on."""
    found, level = [], [(0, n)]
    while level:
        middles = [(low, (low + high) // 2, high) for low, high in level if low < high]
        found += [middle for _, middle, _ in middles]
        level = [half for low, middle, high in middles for half in ((low, middle), (middle + 1, high))]
    return found


@dataclass
class Bisection:
    """What is known of a chunk's samples under one attack so far.

    Attributes:
        survived: Largest place of the grid that each sample survived, int [n]; -1 if none.
        broken: Smallest place at which it broke, int [n]; the grid's length if none.
        tables: Facts by place, of the units that are done.
    """

    survived: np.ndarray
    broken: np.ndarray
    tables: dict[int, pa.Table]

    @classmethod
    def over(cls, n: int, places: int) -> Bisection:
        """Before the first unit, of `n` samples and a grid of `places`."""
        return cls(np.full(n, -1), np.full(n, places), {})

    def take(self, place: int, table: pa.Table) -> None:
        """Learn from the facts of the unit at `place`; what failed there is not known and is attacked elsewhere."""
        whole = of_whole(table)
        outcome = whole["outcome"].to_numpy(zero_copy_only=False)
        self.survived = np.where(outcome == "survived", np.maximum(self.survived, place), self.survived)
        self.broken = np.where(broken_rows(table, len(outcome)), np.minimum(self.broken, place), self.broken)
        self.tables[place] = whole

    def implied(self, place: int) -> np.ndarray:
        """Which samples survived a larger epsilon than that at `place`, bool [n]."""
        return self.survived > place

    def before(self, place: int) -> pa.Table | None:
        """Facts whose broken samples are those that a smaller epsilon broke, as there; None if there are none."""
        inherited = self.broken < place
        if not inherited.any():
            return None
        places = sorted(self.tables)
        n = len(inherited)
        stacked = pa.concat_tables([self.tables[known] for known in places])
        start = np.array([places.index(at) if take else 0 for at, take in zip(self.broken, inherited, strict=True)])
        found = stacked.take(pa.array(start * n + np.arange(n)))
        outcome = pc.if_else(pa.array(inherited), found["outcome"].combine_chunks(), "survived")
        return found.set_column(found.schema.get_field_index("outcome"), found.schema.field("outcome"), outcome)
