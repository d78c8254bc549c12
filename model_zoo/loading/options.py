"""Options behind a model's name: ``name?key=value&key=value``, taken as they stand: nothing in them is decoded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from harness.errors import UsageError

_FIRST = re.compile(r"\?(?=[a-z_]+=)")
_NEXT = re.compile(r"&(?=[a-z_]+=)")


def split(text: str) -> tuple[str, dict[str, str]]:
    """The name and its options; ``?``, ``&``, ``+``, ``%``, ``#``, ``=`` and spaces in a path are themselves.

    An option begins with ``?`` or ``&`` before small letters and ``=``; a file that is there by the whole text is one
    without options.
    """
    begin = None if Path(text).is_file() else _FIRST.search(text)
    if begin is None:
        return text, {}
    pairs = (piece.partition("=") for piece in _NEXT.split(text[begin.end() :]))
    return text[: begin.start()], {key: value for key, _, value in pairs}


def known_only(given: dict[str, str], known: Sequence[str], text: str) -> None:
    """Refuse options that nobody reads.

    Raises:
        UsageError: names the first of them.
    """
    unknown = [key for key in given if key not in known]
    if unknown:
        names = ", ".join(known) or "none"
        raise UsageError(f"model {text!r} has the unknown option {unknown[0]!r}; known: {names}")
