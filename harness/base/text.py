"""Durations as people write them."""

from __future__ import annotations

import re

from harness.errors import UsageError

_NUMBER = r"(\d+(?:\.\d+)?)"
_FORM = re.compile(rf"(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s?)?")


def duration(option: str, text: str) -> float:
    """Seconds of ``90``, ``90s``, ``10m`` or ``1h30m``.

    Raises:
        UsageError: not a duration above 0; names the option.
    """
    match = _FORM.fullmatch(text.replace(" ", ""))
    hours, minutes, seconds = (float(part or 0) for part in match.groups()) if match else (0.0, 0.0, 0.0)
    total = 3600 * hours + 60 * minutes + seconds
    if total <= 0:
        raise UsageError(f"{option} {text!r} is no duration; write for instance 90s, 10m or 1h30m")
    return total
