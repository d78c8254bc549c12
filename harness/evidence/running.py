"""What is running now, so that after a sudden death one can tell what it was: a small file for each worker.

``.running-<host>-<pid>.json`` stands in the run's folder while a unit is computed and is removed when the unit is on
disk or given up. What is left of it when the run is locked again belongs to a process that died.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PREFIX = ".running-"


@contextmanager
def running(folder: Path, unit: str, since: str) -> Iterator[None]:
    """Say that this process computes `unit` since `since`; the note stays only if the process dies within.

    A note that cannot be written is no reason to stop.
    """
    note = folder / f"{PREFIX}{socket.gethostname()}-{os.getpid()}.json"
    about = {
        "unit": unit,
        "since": since,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    with contextlib.suppress(OSError):
        note.write_text(json.dumps(about) + "\n", encoding="utf-8")
    try:
        yield
    finally:  # a budget that ran out or a second Ctrl-C raises here; a death runs no code
        with contextlib.suppress(OSError):
            note.unlink()


def take_left(folder: Path) -> list[str]:
    """What was running when its process died, in words, one line each; the notes are removed."""
    found = []
    with contextlib.suppress(OSError):
        for path in sorted(folder.glob(f"{PREFIX}*.json")):
            found.append(_words(path))
            path.unlink(missing_ok=True)
    return found


def _words(path: Path) -> str:
    try:
        about: Any = json.loads(path.read_text(encoding="utf-8"))
        return (
            f"{about['unit']} was running when process {about['pid']} on {about['host']} died (started"
            f" {about['since']}, peak memory before it {about['peak_mib']} MiB)"
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # torn with the machine
        return f"something was running when the process of {path.name.removeprefix(PREFIX)} died"
