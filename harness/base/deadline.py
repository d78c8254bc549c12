"""When a run is to stop, asked about as often as a batch is computed."""

from __future__ import annotations

import os
import time
from pathlib import Path

_IMPORTED = time.monotonic()


def process_began() -> float:
    """When this process began, by `time.monotonic`; when this was imported, where the system is not Linux."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        up = float(Path("/proc/uptime").read_text().split()[0])
        age = up - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return _IMPORTED
    return min(_IMPORTED, time.monotonic() - age) if age >= 0 else _IMPORTED


class Halted(BaseException):
    """The unit stops where it stands, as the run is to end; a BaseException, so that no tool swallows it by accident.

    Attributes:
        component: What of a cascade was under way.
        restart: Which restart was under way, of an attack that has several.
        whole: Seconds that the call of the tool would have taken, by its share of queries; None if that is not known.
    """

    component: str | None = None
    restart: int | None = None
    whole: float | None = None


class Deadline:
    """When the time of a run is over; by a clock that never goes back.

    Args:
        seconds: From `begun`; None for never.
        begun: By `time.monotonic`; None for now.
    """

    def __init__(self, seconds: float | None = None, begun: float | None = None) -> None:
        self.set(seconds)
        if begun is not None:
            self.reserve(time.monotonic() - begun)

    def set(self, seconds: float | None) -> None:
        """The time is over so many seconds from now; None for never."""
        self._at = None if seconds is None else time.monotonic() + seconds

    def reserve(self, seconds: float) -> None:
        """The time is over so much earlier, as something else needs it."""
        if self._at is not None:
            self._at -= seconds

    def share(self, part: float) -> Deadline:
        """When this share of the time that is left is over."""
        return Deadline(None if self.left is None else part * self.left)

    @property
    def known(self) -> bool:
        """Whether the time is ever over."""
        return self._at is not None

    @property
    def left(self) -> float | None:
        """Seconds from now; None for never."""
        return None if self._at is None else self._at - time.monotonic()

    @property
    def over(self) -> bool:
        """Whether the time is over."""
        return self._at is not None and time.monotonic() >= self._at

    def check(self) -> None:
        """Stop here if the time is over.

        Raises:
            Halted: it is.
        """
        if self.over:
            raise Halted
