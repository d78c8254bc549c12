"""What the finished units of a lane hand to its next one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from harness.evidence.facts import broken_rows
from harness.measure.bisection import Bisection
from harness.measure.lanes import Lane
from harness.measure.unit.shared import Offered


@dataclass(kw_only=True)
class Trail:
    """What the first `place` units of a lane hand to the next one."""

    lane: Lane
    place: int = 0
    before: pa.Table | None = None
    """Facts whose witnesses are inherited."""
    stored: np.ndarray | None = None
    """Chunk rows, bool [n], whose witness is on disk."""
    offered: Offered | None = None
    """Witnesses of the attacks before, if this one is spared what they broke."""
    halves: Bisection | None = None
    """What is known of each sample, in mode ``bisection``."""

    def leads_to(self, lane: Lane, place: int) -> bool:
        """Whether the lane's unit number `place` is the next one."""
        return (self.lane, self.place) == (lane, place)

    def take(self, found: pa.Table, n: int, epsilon: float, at: int, inherits: bool) -> None:
        """Take in the next unit's facts.

        Args:
            found: The facts.
            n: Samples of the lane.
            epsilon: The unit's largest.
            at: Its place in the suite's grid.
            inherits: Whether what it broke is not attacked at larger epsilons.
        """
        self.place += 1
        if self.halves is not None:
            self.halves.take(at, found)
            return
        if inherits:
            self.before = found
        broken = broken_rows(found, n, epsilon)
        self.stored = broken if self.stored is None else self.stored | broken
