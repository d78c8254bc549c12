"""JSON on stdout, and what several commands print alike."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.types import Finding


def print_json(value: Any) -> None:
    """One JSON value on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write the file that an option names.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be written: {error.strerror or error}; choose another file") from None


EVERY = 60.0
"""Seconds between two lines where no person looks on."""


@contextmanager
def waiting(words: str) -> Iterator[Callable[[str], None]]:
    """A spinner with `words` on stderr, where a person looks on; elsewhere nothing.

    Yields what says how far it is, in words that stand behind the others; where nobody looks on, a line a minute.
    """
    from rich.console import Console
    from rich.markup import escape

    # This very stream: while an attack runs, sys.stderr collects what it prints.
    console, said = Console(file=sys.stderr), time.monotonic()

    def a_line(more: str) -> None:
        nonlocal said
        if time.monotonic() - said >= EVERY:
            said = time.monotonic()
            console.print(f"{words}: {more}", markup=False, highlight=False, soft_wrap=True)

    if not console.is_terminal:
        yield a_line
        return
    with console.status(words) as status:
        yield lambda more: status.update(escape(f"{words}: {more}"))


def envelope(command: str, data: Any, ok: bool = True, findings: Iterable[Finding] = ()) -> dict[str, Any]:
    """The object every ``--json`` but eval's prints."""
    return {
        "schema": 1,
        "command": command,
        "ok": ok,
        "data": data,
        "findings": [finding.as_dict() for finding in findings],
    }
