"""What comes of a unit that a worker was given: it is done, or was given up as the run ended."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from harness.evidence.store import Unit
from harness.measure.unit.job import UnitResult


@dataclass(frozen=True)
class Done:
    """A unit that is on disk now; `result` is None if it was there before."""

    unit: Unit
    facts: pa.Table
    result: UnitResult | None


@dataclass(frozen=True)
class GivenUp:
    """A unit within which the run ended, and what is thrown away of it: the next start begins that again."""

    unit: Unit
    component: str | None
    restart: int | None
    seconds: float

    def __str__(self) -> str:
        names = [] if self.component is None else [self.component]
        names += [] if self.restart is None else [f"restart {self.restart + 1}"]
        of = f" of {', '.join(names)}" if names else ""
        return (
            f"{self.unit.attack} at {self.unit.epsilon}, chunk {self.unit.chunk}: {self.seconds:.1f} s{of} are thrown"
            " away, as the time was over within; a budget has to leave it longer than that"
        )
