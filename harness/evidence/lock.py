"""One writer a run: a lock on ``.lock`` that dies with its owner, whatever the owner dies of.

The kernel keeps the lock (``filelock``, by ``flock``) and drops it when the process ends; no file has to be removed by
hand, and a forked child does not keep it alive.
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

from filelock import FileLock, Timeout

from harness.errors import BadRun

NAME = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run in `folder` for this process.

    Raises:
        BadRun: another process holds it (says which), the file system has no locks, or the folder is gone; on leaving,
            that the folder was removed or replaced meanwhile.
    """
    path = folder / NAME
    mine: list[os.stat_result] = []

    def signed(handle: int) -> None:
        mine.append(os.fstat(handle))
        with contextlib.suppress(OSError):  # the disk is full: the name is a courtesy, the lock holds
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    lock = FileLock(path, mode=0o644, timeout=0, preserve_lock_file=True, fallback_to_soft=False, on_acquired=signed)
    try:
        lock.acquire()
    except Timeout:
        raise BadRun(
            f"run {folder} is being written by another process ({_owner(path)}); wait for it or stop it"
        ) from None
    except (OSError, NotImplementedError) as error:
        why = getattr(error, "strerror", None) or error
        raise BadRun(f"run {folder} cannot be locked ({why}); choose another folder with --results") from None
    try:
        yield
        _check(mine[0], path)
    finally:
        lock.release()


def _owner(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_bytes()[:200].decode(errors="replace").strip() or "unknown"
    return "unknown"


def _check(mine: os.stat_result, path: Path) -> None:
    """Whether the lock still is the folder's: a folder made anew may have another owner."""
    try:
        same = os.path.samestat(mine, os.stat(path))
    except OSError:
        same = False
    if not same:
        raise BadRun(
            f"run {path.parent} was removed or replaced while it was written; what is there now is on disk, the same"
            " command computes the rest"
        )


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
