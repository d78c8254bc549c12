"""Downloads that fail leave nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def no_empty_folders(root: Path, inner: str) -> Iterator[None]:
    """If what is inside fails, remove the folders `root`/`inner` and above that it made and left empty."""
    deepest = root / inner
    new = [path for path in (deepest, *deepest.parents) if not path.exists()]
    try:
        yield
    except BaseException:
        for path in new:
            with suppress(OSError):  # not made after all, or not empty
                path.rmdir()
        raise
