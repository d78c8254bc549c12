"""Foreign text, made safe to print on one line; each renderer escapes on top of this."""

from __future__ import annotations

import unicodedata

LIMIT = 100
"""Characters of a name that a table shows; the JSON export has all of them."""

_INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn")
"""Controls, format characters (right-to-left marks, zero widths), surrogates, private and unassigned code points."""


def one_line(text: object, limit: int | None = LIMIT) -> str:
    """`text` without line breaks, with invisible characters spelled out as their code and shortened to `limit`."""
    shown = "".join(_visible(char) for char in str(text))
    shown = " ".join(shown.split())
    return shown if limit is None or len(shown) <= limit else shown[: limit - 1] + "…"


def _visible(char: str) -> str:
    if char.isspace():
        return " "
    if unicodedata.category(char) in _INVISIBLE:
        return f"\\u{ord(char):04x}"
    return char


def short_hash(text: str, digits: int = 12) -> str:
    """``sha256:0123456789ab`` of a full ``sha256:<64 digits>``; text that is no hash stays as it is."""
    kind, colon, value = text.partition(":")
    if not colon:
        kind, value = "", text
    if len(value) <= digits or not all(c in "0123456789abcdef" for c in value):
        return text
    return f"{kind}{colon}{value[:digits]}"
