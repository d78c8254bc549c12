"""What a board stands for: the published files it lists, by hash, with the verdict of whoever keeps it.

A published file comes from its author, and so would a verdict in it. ``board.toml`` lies beside the files and is the
maintainer's: ``harness leaderboard --publish`` writes it from runs that the maintainer's ledger knows. A file that is
changed has another hash and is not listed any more. A board that may have come with a submission is not believed, see
`leaderboard.runs.collect.alone`.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.base.text import toml_value
from harness.errors import BadRun, FileError

if TYPE_CHECKING:
    from leaderboard.runs.record import Record

BOARD = "board.toml"
SCHEMA_VERSION = 1
_VERDICT = re.compile(r"breaks verified|replayed [0-9]{1,9}|not verified|no")
_HEAD = """\
# The published files that this board stands for. `harness leaderboard --publish` writes it, from runs that were
# verified on the maintainer's side; a published file that is not listed here, by the hash of its bytes, is a claim.
"""


@dataclass(frozen=True)
class Listed:
    """One file of a board."""

    file: str
    sha256: str
    """Of the file's bytes, 64 hexadecimal digits."""
    verdict: str
    """As in the ledger: ``no``, ``breaks verified``, ``replayed K`` or ``not verified``."""
    suite: str
    slice: str


def listed_as(file: str, content: bytes, record: Record) -> Listed:
    """How a board lists the published file of `record`."""
    return Listed(file, hash_of(content), record.verified, record.info.suite.label, record.info.data.slice)


def hash_of(content: bytes) -> str:
    """The hash by which a board names a file; a checkout that changed line endings changes nothing."""
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


def read_board(folder: Path) -> dict[str, Listed]:
    """The files that the board in `folder` lists, by their hash; empty if there is no board.

    Raises:
        BadRun: the file cannot be read or is no board of this version; names what is wrong.
    """
    path = folder / BOARD
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        if content.get("schema") != SCHEMA_VERSION:
            raise ValueError(f"schema is {content.get('schema')!r:.20}, expected {SCHEMA_VERSION}")
        entries = [_entry(run, place) for place, run in enumerate(content.get("run", []), 1)]
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise BadRun(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadRun(f"{path} is no board of this version ({error!s:.200}); publish its runs again") from None
    return {entry.sha256: entry for entry in entries}


def _entry(run: Mapping[str, object], place: int) -> Listed:
    values = {name: run.get(name) for name in Listed.__dataclass_fields__}
    for name, value in values.items():
        if not isinstance(value, str):
            raise ValueError(f"{name} of [[run]] number {place} is {value!r:.40}, expected text")
    entry = Listed(**{name: str(value) for name, value in values.items()})
    if not _VERDICT.fullmatch(entry.verdict):
        raise ValueError(f"verdict of [[run]] number {place} is {entry.verdict!r:.40}, expected one of a ledger")
    return entry


def write_board(folder: Path, entries: Iterable[Listed]) -> Path:
    """Write the board of `folder`, by name of the file.

    Raises:
        FileError: it cannot be written.
    """
    path = folder / BOARD
    blocks = [_HEAD + f"schema = {SCHEMA_VERSION}\n"]
    for entry in sorted(entries, key=lambda entry: entry.file):
        lines = (f"{name} = {toml_value(value)}\n" for name, value in asdict(entry).items())
        blocks.append("[[run]]\n" + "".join(lines))
    try:
        path.write_text("\n".join(blocks), encoding="utf-8", newline="\n")
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror or error}; choose another folder") from None
    return path
