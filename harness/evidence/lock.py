"""One writer a run: a lock on ``.lock`` that dies with its owner, whatever the owner dies of.

The kernel keeps the lock (``flock``) and drops it when the process ends; no file has to be removed by hand. A forked
child would inherit it and keep it alive, so children let go of it at once.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from harness.errors import BadRun

NAME = ".lock"
_BUSY = (errno.EWOULDBLOCK, errno.EACCES)
_held: set[int] = set()


def _let_go() -> None:
    """In a forked child: close what is the parent's (which does not unlock it there)."""
    for handle in _held:
        os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run in `folder` for this process.

    Raises:
        BadRun: another process holds it (says which), the file system has no locks, or the folder is gone; on leaving,
            that the folder was removed or replaced meanwhile.
    """
    path = folder / NAME
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise BadRun(f"run {folder} cannot be locked: {error.strerror}; choose another folder with --results") from None
    _held.add(handle)
    try:
        _lock(handle, folder)
        yield
        _check(handle, path)
    finally:
        if handle in _held:  # not in a child that was forked meanwhile
            _held.discard(handle)
            with suppress(OSError):  # at once, also if a child that was just forked has not let go yet
                fcntl.flock(handle, fcntl.LOCK_UN)
            os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _BUSY:
            owner = os.pread(handle, 200, 0).decode(errors="replace").strip() or "unknown"
            raise BadRun(
                f"run {folder} is being written by another process ({owner}); wait for it or stop it"
            ) from None
        raise BadRun(
            f"run {folder} cannot be locked ({error.strerror}): its file system has no locks; choose another folder"
            " with --results"
        ) from None
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
    except OSError:
        pass  # the disk is full: the name is a courtesy, the lock holds


def _check(handle: int, path: Path) -> None:
    """Whether the lock still is the folder's: a folder made anew may have another owner."""
    try:
        same = os.path.samestat(os.fstat(handle), os.stat(path))
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
