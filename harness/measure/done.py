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
    whole: float | None = None
    """Seconds that the call would have taken, if that can be told."""

    @property
    def what(self) -> str:
        """What was under way, beside the attack; nothing if that is all."""
        names = [] if self.component is None else [self.component]
        return ", ".join(names + ([] if self.restart is None else [f"restart {self.restart + 1}"]))

    def __str__(self) -> str:
        of = f" of {self.what}" if self.what else ""
        return (
            f"{self.unit.attack} at {self.unit.epsilon}, chunk {self.unit.chunk}: {self.seconds:.1f} s{of} are thrown"
            " away, as the time was over within"
        )
