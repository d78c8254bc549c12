"""What a unit has found between two calls of its tool: kept on disk now and then, taken up by the next start.

A call is one component, one restart, or one sample of an attack that goes one by one; each has a seed of its own. So
a unit that goes on from what was kept ends in the facts of one that nothing disturbed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.evidence import unfinished

WORTH = 1.0
"""Seconds of work that are worth being kept."""
SHARE = 20
"""How often as long as keeping it the work must have taken."""


class Interim:
    """One unit's state on disk.

    Args:
        folder: The run's.
        filename: Of the unit's shards.
        key: What the unit depends on; what was kept of another key is left alone.
    """

    def __init__(self, folder: Path, filename: str, key: str) -> None:
        self._place = folder, filename, key
        self._kept = unfinished.read(*self._place)
        self.spent: float = 0.0 if self._kept is None else self._kept["seconds"]
        """Seconds of earlier starts in what was kept."""
        self._begun = self._saved = time.monotonic()
        self._took = 0.0

    def taken(self) -> dict[str, Any] | None:
        """What an earlier start kept, once; None if nothing."""
        kept, self._kept = self._kept, None
        return kept

    @property
    def unsaved(self) -> float:
        """Seconds of work that would be lost now."""
        return time.monotonic() - self._saved

    @property
    def due(self) -> bool:
        """Whether there is enough to be kept."""
        return self.unsaved >= max(WORTH, SHARE * self._took)

    def keep(self, state: Mapping[str, Any]) -> None:
        """Put what was found on disk.

        Raises:
            BadRun: it cannot be written.
        """
        now = time.monotonic()
        unfinished.keep(*self._place, {**state, "seconds": self.spent + now - self._begun})
        self._saved = time.monotonic()
        self._took = self._saved - now
