"""Whole files or none: written beside their place, flushed to the disk, renamed.

After a crash at any moment a file is the old one, the new one, or not there. What a dead process left beside its place
is hidden (it starts with a dot) and swept away by the next writer of the folder. JSON is strict both ways, and a
canonical form of it makes keys.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from harness.errors import BadRun


def write_atomically(target: Path, save: Callable[[Path], Any]) -> None:
    """Let `save` write a file beside `target` and put it in place.

    Raises:
        BadRun: it cannot be written; `target` is then as it was.
    """
    beside = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        save(beside)
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(target)
        _sync_folder(target.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise BadRun(
                f"{target} cannot be written: {error.strerror or error}; what was finished before is safe on disk, the"
                " same command goes on from there"
            ) from None
        raise


def sweep(folder: Path) -> None:
    """Remove what writers left that died; call it while no other process writes."""
    with contextlib.suppress(OSError):
        for path in folder.glob(".*.tmp"):
            path.unlink(missing_ok=True)


def no_file(folders: Iterable[Path]) -> Path | None:
    """The first entry of `folders` that is neither a file nor a folder: reading a pipe or a device may never end."""
    for folder in folders:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
            for entry in entries:
                if not entry.is_dir() and not entry.is_file() and Path(entry.path).exists():
                    return Path(entry.path)
    return None


def _sync_folder(folder: Path) -> None:
    """Flush a rename to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems flush files only
            raise
    finally:
        os.close(handle)


def key_of(spec: Any) -> str:
    """sha256 of a JSON-able specification in canonical form, hexadecimal."""
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def strict_json(text: str) -> Any:
    """JSON as the harness writes it: no NaN, no key twice.

    Raises:
        ValueError: anything else.
        RecursionError: nested too deeply.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            raise ValueError("a key stands twice in one object")
        return made

    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is no JSON number")

    return json.loads(text, object_pairs_hook=once, parse_constant=refuse)
