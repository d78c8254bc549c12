"""A run that may take only so long: when to stop, and what to say is missing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from harness.base.text import in_words
from harness.evidence.facts import CLEAN
from harness.evidence.run_info import CellCost, RunInfo
from harness.evidence.store import Unit
from harness.inputs.suite import Suite
from harness.types import Finding


class Clock:
    """Says when the time is over.

    Args:
        deadline: By `time.time`; None never comes.
    """

    def __init__(self, deadline: float | None) -> None:
        self.deadline = deadline
        self.worked = False
        """Whether this start has finished an attack's unit. Before that it is not over, so that every start gets on."""

    def over(self) -> bool:
        """Whether nothing more is to be begun."""
        return self.worked and self.deadline is not None and time.time() >= self.deadline

    def finding(self, info: RunInfo, suite: Suite, units: Collection[Unit], there: Collection[Unit]) -> Finding:
        """What is missing, attack by attack, and how much longer it would take by what was seen."""
        missing = Counter((unit.attack, unit.epsilon) for unit in units if unit not in there)
        total = Counter((unit.attack, unit.epsilon) for unit in units)
        parts = []
        for (attack, epsilon), count in total.items():
            if attack != CLEAN and (gone := missing[attack, epsilon]):
                some = "" if gone == count else f" ({gone} of {count} chunks)"
                parts.append(f"{attack} at {epsilon}{some}")
        seconds = _left(info.compute or (), missing)
        more = f"; about {in_words(seconds)} more by what was measured" if seconds is not None else ""
        shown = ", ".join(parts[:6]) + (f" and {len(parts) - 6} more" if len(parts) > 6 else "")
        return Finding(
            "budget", "warn", f"the budget ran out; missing: {shown}{more}. The same command goes on from here"
        )


def _left(compute: Sequence[CellCost], missing: Mapping[tuple[str, str], int]) -> float | None:
    """Seconds that the missing units would take, as their likes took; None if an attack was never measured."""
    known = [(cost, cost.seconds) for cost in compute if cost.seconds is not None]
    left = 0.0
    for (attack, epsilon), count in missing.items():
        if attack == CLEAN:
            continue
        alike = [one for one in known if (one[0].attack, one[0].epsilon_label) == (attack, epsilon)]
        alike = alike or [one for one in known if one[0].attack == attack]
        if not alike:
            return None
        left += count * sum(seconds for _, seconds in alike) / sum(cost.units for cost, _ in alike)
    return left
