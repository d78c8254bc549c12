"""Slices of others: a file of sample ids in the place of the first n of the fixed order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.base.arrays import read_array
from harness.base.text import whole_number
from harness.errors import BadData, UsageError


@dataclass(frozen=True, eq=False)
class IdSet:
    """Which samples of a data set are measured; the order in which they were given does not matter."""

    name: str
    """What results call the set."""
    ids: NDArray[np.int64]
    """Ascending, each once."""

    @property
    def sha256(self) -> str:
        """Hash of the ascending ids as int64, little-endian."""
        return f"sha256:{hashlib.sha256(self.ids.astype('<i8').tobytes()).hexdigest()}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdSet) and (self.name, self.sha256) == (other.name, other.sha256)

    def __hash__(self) -> int:
        return hash((self.name, self.sha256))


def id_set(name: str, ids: Iterable[Any]) -> IdSet:
    """A set of ids from whole numbers.

    Raises:
        UsageError: there are none, one is no whole number from 0, or stands twice.
    """
    given = np.asarray(list(ids))
    if not given.size:
        raise UsageError(f"--ids: {name!r} holds no id")
    if given.ndim != 1 or given.dtype.kind not in "iu" or int(given.max()) >= 2**63:
        what = f"{given.dtype} of shape {given.shape}"
        raise UsageError(f"--ids: {name!r} holds {what}; expected whole numbers [n]")
    found, counts = np.unique(given.astype(np.int64), return_counts=True)
    if found[0] < 0:
        raise UsageError(f"--ids: {name!r} holds {found[0]}; ids count from 0")
    if counts.max() > 1:
        raise UsageError(f"--ids: {name!r} holds {found[counts.argmax()]} twice; write each id once")
    return IdSet(name, found)


def read_ids(path: Path) -> IdSet:
    """Ids from a ``.npy`` file (whole numbers [n]) or a text file with one a line, in which ``#`` begins a comment.

    Raises:
        UsageError: it cannot be read, a line is no id, or as `id_set`.
    """
    try:
        if path.suffix == ".npy":
            return id_set(path.stem, read_array(path))
        lines = path.read_text(encoding="utf-8").splitlines()
    except BadData as error:
        raise UsageError(f"--ids {error}") from None
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or error
        raise UsageError(f"--ids {path} cannot be read: {why}") from None
    found = []
    for number, line in enumerate(lines, 1):
        word = line.partition("#")[0].strip()
        if not word:
            continue
        if (sample := whole_number(word)) is None:
            raise UsageError(
                f"--ids {path}, line {number}: {word[:40]!r} is no id; write one whole number from 0 a line"
            )
        found.append(sample)
    return id_set(path.stem, found)
