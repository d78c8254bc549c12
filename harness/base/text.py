"""Durations, dates, shares and TOML values as people read and write them."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from harness.errors import UsageError

_NUMBER = r"(\d+(?:\.\d+)?)"
_FORM = re.compile(rf"(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s?)?")


_PLAIN = {"\u2013": "-", "\u2026": "...", "\u00d7": "x", "\u2264": "<=", "\u2265": ">="}


def _spell(error: UnicodeError) -> tuple[str, int]:
    """What a terminal's encoding lacks in plain characters, the rest as escapes; never an error."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    plain = (_PLAIN.get(letter) or letter.encode("ascii", "backslashreplace").decode() for letter in missing)
    return "".join(plain), error.end


codecs.register_error("harness-plain", _spell)


def printable(*streams: Any) -> None:
    """Let streams print any text: a result is not lost to a terminal's encoding."""
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="harness-plain")


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


def whole_number(text: str) -> int | None:
    """The number that `text` spells in plain digits, ``7`` or ``007``; None for all else, and beyond 18 digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def now() -> str:
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def in_words(seconds: float) -> str:
    """``1h30m``, ``10m``, ``45s``: rounded to what a person wants to know."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m"


def percent(share: float | None, interval: Iterable[float] | None = None) -> str:
    """``62.1`` or ``62.1 [60.0, 64.2]``, in percent; a dash where there is no number."""
    if share is None:
        return "–"
    text = f"{100 * share:.1f}"
    if interval is not None:
        low, high = interval
        text += f" [{100 * low:.1f}, {100 * high:.1f}]"
    return text


def toml_value(value: Any) -> str:
    """`value` as TOML spells it: text, number, truth value, or a list of these."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    escaped = "".join(_escape(c) for c in str(value))
    return f'"{escaped}"'


def _escape(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return f"\\u{ord(char):04x}" if ord(char) < 32 or ord(char) == 127 else char
