"""JSON on stdout, and what several commands print alike."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.types import Finding


def print_json(value: Any) -> None:
    """One JSON value on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")


@contextmanager
def waiting(words: str) -> Iterator[None]:
    """A spinner with `words` on stderr, where a person looks on; elsewhere nothing."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(words):
        yield


def envelope(command: str, data: Any, ok: bool = True, findings: Iterable[Finding] = ()) -> dict[str, Any]:
    """The object every ``--json`` but eval's prints."""
    return {
        "schema": 1,
        "command": command,
        "ok": ok,
        "data": data,
        "findings": [finding.as_dict() for finding in findings],
    }
