"""Numbers as people write them: ``0.03`` or ``8/255``."""

from __future__ import annotations

import math
from fractions import Fraction

from harness.errors import UsageError


def number(text: str | float, what: str = "number") -> float:
    """A finite float from ``0.03``, ``1e-3`` or a quotient such as ``8/255``.

    Raises:
        UsageError: it is none of these.
    """
    try:
        if isinstance(text, str) and "/" in text:
            top, bottom = text.split("/")
            value = float(top) / float(bottom)
        else:
            value = float(text)
    except (ValueError, ZeroDivisionError):
        raise UsageError(f"{what} is {text!r}; give a number such as 0.03 or 8/255") from None
    if not math.isfinite(value):
        raise UsageError(f"{what} is {text!r}; give a finite number such as 0.03 or 8/255")
    return value


def spell(value: float) -> str:
    """``8/255`` for what is a small multiple of 1/510, else the shortest decimal."""
    scaled = value * 510
    if 0 < scaled <= 510 and abs(scaled - round(scaled)) < 1e-6:
        fraction = Fraction(round(scaled), 2)
        return f"{fraction.numerator}/255" if fraction.denominator == 1 else f"{float(fraction)}/255"
    return repr(value)
