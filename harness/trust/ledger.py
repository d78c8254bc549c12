"""Who verified what: one line a verification, kept by whoever verified it, never in the run.

A run comes from its author, and so would a verdict that lies beside it. The ledger is the verifier's own file; a line
names a run by the hash of everything it consists of, so that it says nothing of a run that was changed afterwards, and
nothing is lost when the folder is renamed or copied.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.base.folders import state_folder
from harness.errors import BadRun, FileError
from harness.evidence.store import RunStore
from harness.trust.verify.verdict import NO, Verdict

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Line:
    """One verification."""

    content: str
    """`content_hash` of the run."""
    run: str
    verdict: str
    """``no``, ``breaks verified`` or ``replayed K``."""
    evidence: str
    """Which witnesses the run kept: ``all``, ``worst`` or ``none``."""
    replayed: int
    """Survivors that were attacked again."""
    at_most: float | None
    """95 % upper bound on the share of survivors that one more run breaks; None without replay."""
    problems: int
    by: str | None
    device: str
    at: str
    """When, in UTC."""
    schema: int = SCHEMA_VERSION


_TYPES = {"content": str, "run": str, "verdict": str, "evidence": str, "replayed": int, "problems": int}


def ledger_path() -> Path:
    """``HARNESS_LEDGER`` if set, else ``robustness-harness/verified.jsonl`` in the user's state folder."""
    if own := os.environ.get("HARNESS_LEDGER"):
        return Path(own)
    return state_folder() / "verified.jsonl"


def content_hash(folder: Path) -> str:
    """``sha256:`` over names and bytes of run.json, summary.json, facts and witnesses.

    Raises:
        BadRun: a file cannot be read, or something is none.
    """
    RunStore(folder).check_files()
    files = [folder / "run.json", folder / "summary.json"]
    files += [path for part in ("facts", "witnesses") for path in sorted((folder / part).glob("*.parquet"))]
    total = hashlib.sha256()
    for path in files:
        try:
            part = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "none"
        except OSError as error:
            raise BadRun(f"{path} cannot be read: {error.strerror}") from None
        total.update(f"{path.relative_to(folder).as_posix()} {part}\n".encode())
    return f"sha256:{total.hexdigest()}"


def record(verdict: Verdict, content: str, by: str | None = None, ledger: Path | None = None) -> Line:
    """Append a verdict to the ledger.

    Args:
        verdict: What was established.
        content: `content_hash` of the run, taken *before* it was verified.
        by: A name to show with it.
        ledger: The file; None takes `ledger_path`.

    Raises:
        FileError: the ledger cannot be written.
    """
    again = verdict.replay
    line = Line(
        content=content,
        run=verdict.run,
        verdict=verdict.value,
        evidence=verdict.evidence,
        replayed=again.drawn if again else 0,
        at_most=again.at_most if again else None,
        problems=len(verdict.problems),
        by=by,
        device=verdict.device,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    path = ledger or ledger_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(asdict(line)) + "\n")
    except OSError as error:
        raise FileError(f"ledger {path} cannot be written: {error.strerror}; name another with --ledger") from None
    return line


def read_ledger(ledger: Path | None = None) -> dict[str, Line]:
    """What counts of each run, by its `content_hash`; empty if there is no ledger.

    The strongest line since the last ``no`` counts: verifying without replay takes nothing back.

    Raises:
        FileError: the ledger cannot be read, or a line is none of this version's.
    """
    path = ledger or ledger_path()
    found: dict[str, Line] = {}
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return found
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or error
        raise FileError(f"ledger {path} cannot be read: {why}") from None
    for number, row in enumerate(text.splitlines(), 1):
        line = _line(row, path, number)
        before = found.get(line.content)
        weaker = before is not None and before.verdict != NO and line.verdict != NO and line.replayed < before.replayed
        if not weaker:
            found[line.content] = line
    return found


def verified(folder: Path, ledger: Path | None = None) -> Line | None:
    """What the ledger says of the run in `folder`, as it is now; None if nothing."""
    return read_ledger(ledger).get(content_hash(folder))


def _line(row: str, path: Path, number: int) -> Line:
    try:
        value: Any = json.loads(row)
        if value["schema"] != SCHEMA_VERSION:
            raise ValueError(f"schema {value['schema']}")
        line = Line(**value)
        if not all(isinstance(getattr(line, name), kind) for name, kind in _TYPES.items()):
            raise ValueError("a value of the wrong type")
        return line
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise FileError(f"ledger {path}, line {number}: not a verification of this version ({error})") from None
