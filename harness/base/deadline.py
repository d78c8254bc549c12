"""When a run is to stop, asked about as often as a batch is computed."""

from __future__ import annotations

import time


class Halted(BaseException):
    """The unit stops where it stands, as the run is to end; a BaseException, so that no tool swallows it by accident.

    Attributes:
        component: What of a cascade was under way.
        restart: Which restart was under way, of an attack that has several.
    """

    component: str | None = None
    restart: int | None = None


class Deadline:
    """When the time of a run is over; by a clock that never goes back.

    Args:
        seconds: From now; None for never.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self.set(seconds)

    def set(self, seconds: float | None) -> None:
        """The time is over so many seconds from now; None for never."""
        self._at = None if seconds is None else time.monotonic() + seconds

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
