"""Runs that were set aside because their model is another one now: kept, and taken back when it is theirs again.

::

    results/.earlier/<run>-1/    everything of the run's folder but its lock
"""

from __future__ import annotations

from pathlib import Path

from harness.base.text import whole_number
from harness.errors import BadRun
from harness.evidence import lock

FOLDER = ".earlier"


def set_aside(folder: Path, last: str) -> Path:
    """Move what is in a run's folder away, and say where it is now; call it while the run is locked.

    Args:
        folder: The run's.
        last: The file that is moved last: as long as it is there, the run is known to be the old one.

    Raises:
        BadRun: it cannot be moved.
    """
    there = folder.parent / FOLDER
    taken = [int(path.name.rpartition("-")[2]) for path in kept(folder)]
    place = there / f"{folder.name}-{max(taken, default=0) + 1}"
    _move(folder, place, last)
    return place


def take_back(folder: Path, place: Path, last: str) -> None:
    """Put a run that was set aside into its folder, which is empty but for the lock.

    Raises:
        BadRun: it cannot be moved.
    """
    _move(place, folder, last)
    place.rmdir()


def kept(folder: Path) -> list[Path]:
    """Where earlier runs of this folder are, the newest first."""
    every = (folder.parent / FOLDER).glob(f"{folder.name}-*")
    found = [path for path in every if whole_number(path.name.removeprefix(f"{folder.name}-")) is not None]
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)


def _move(source: Path, target: Path, last: str) -> None:
    try:
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted(source.iterdir(), key=lambda path: path.name == last):
            if path.name != lock.NAME:
                if (target / path.name).is_dir():
                    (target / path.name).rmdir()  # made empty for a run that has not begun
                path.replace(target / path.name)
    except OSError as error:
        raise BadRun(f"{source} cannot be moved to {target}: {error.strerror}; move it away, or use --fresh") from None
