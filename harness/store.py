"""A run on disk: atomic shards, so that starting again continues and nothing finished is ever lost.

::

    results/<run>/run.json               what was asked, how it was resolved, status and timings
    results/<run>/facts/<unit>.parquet   one shard for each finished unit; its presence says the unit is done
    results/<run>/witnesses/<unit>.parquet
    results/<run>/summary.json           numbers, recountable from the facts

A shard is written beside its place, flushed to the disk and renamed; witnesses come before the facts that speak of
them.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from harness import evidence, facts
from harness.errors import BadRun

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Unit:
    """What is computed, stored and resumed as a whole: one chunk of samples under one attack at one epsilon.

    Attacks that run once for the whole grid have the epsilon ``grid``; the clean pass has ``clean`` and ``0``.
    """

    attack: str
    epsilon: str
    chunk: int

    @property
    def filename(self) -> str:
        """Name of the unit's shards; ``/`` cannot stand in a file name and ``~``, ``_`` not in an id or epsilon."""
        return f"{self.attack.replace('/', '~')}@{self.epsilon.replace('/', '_')}-{self.chunk:05d}.parquet"


def key_of(spec: Any) -> str:
    """sha256 of a JSON-able specification in canonical form, hexadecimal."""
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def run_name(model: str, suite: str, key: str) -> str:
    """A folder name a person can read: model, suite, and as much of the key as makes it unique."""
    words = [re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip("-.")[:40] or "x" for text in (model, suite)]
    return f"{'-'.join(words)}-{key[:12]}"


class RunStore:
    """One run's folder; open it with `RunStore.create` to write or plainly to read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.torn: list[str] = []
        """Shards that could not be read and were set aside; their units run again."""

    @classmethod
    def create(cls, results: Path, name: str) -> RunStore:
        """The run's folder under `results`, made if need be.

        Raises:
            BadRun: the folder cannot be written.
        """
        folder = results / name
        try:
            for part in ("facts", "witnesses"):
                (folder / part).mkdir(parents=True, exist_ok=True)
            probe = folder / f".write-test-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise BadRun(
                f"results folder {folder} cannot be written: {error.strerror}; choose another with --results"
            ) from None
        return cls(folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process; the lock dies with its owner.

        Raises:
            BadRun: another process is writing this run.
        """
        with (self.folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise BadRun(f"run {self.folder} is being written by another process; wait for it or stop it") from None
            yield

    def clear(self) -> None:
        """Remove what an earlier start left; call it while the run is `locked`, so that no other process is writing."""
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != ".lock":
                path.unlink()
        for part in ("facts", "witnesses"):
            (self.folder / part).mkdir()

    def facts_of(self, unit: Unit) -> pa.Table | None:
        """Facts of a finished unit, or None; a shard that cannot be read is set aside and its unit counts as undone."""
        path = self.folder / "facts" / unit.filename
        if not path.exists():
            return None
        try:
            return facts.read(path)
        except BadRun:
            path.replace(path.with_suffix(".torn"))
            self.torn.append(unit.filename)
            return None

    def write(self, unit: Unit, found: pa.Table, witnesses: pa.Table | None) -> None:
        """Store a finished unit."""
        if witnesses is not None and len(witnesses):
            self._atomic("witnesses", unit.filename, lambda path: evidence.write(path, witnesses))
        self._atomic("facts", unit.filename, lambda path: facts.write(path, found))

    def write_witnesses(self, filename: str, witnesses: pa.Table, instead_of: list[str]) -> None:
        """Store a witness shard and then remove those it replaces."""
        self._atomic("witnesses", filename, lambda path: evidence.write(path, witnesses))
        for name in instead_of:
            if name != filename:
                (self.folder / "witnesses" / name).unlink(missing_ok=True)

    def all_facts(self) -> pa.Table:
        """Facts of all finished units.

        Raises:
            BadRun: a shard cannot be read.
        """
        return facts.concat(facts.read(path) for path in sorted((self.folder / "facts").glob("*.parquet")))

    def all_witnesses(self) -> Iterator[pa.Table]:
        """Witness shards, one at a time.

        Raises:
            BadRun: a shard cannot be read.
        """
        for path in sorted((self.folder / "witnesses").glob("*.parquet")):
            yield evidence.read(path)

    def write_json(self, name: str, value: Any) -> None:
        """Write ``run.json`` or ``summary.json`` atomically."""
        text = json.dumps(value, indent=2, allow_nan=False) + "\n"
        self._atomic("", name, lambda path: path.write_text(text, encoding="utf-8"))

    def read_json(self, name: str) -> Any:
        """Read ``run.json`` or ``summary.json``.

        Raises:
            BadRun: missing, not JSON, or of another schema.
        """
        path = self.folder / name
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise BadRun(f"{self.folder} has no {name}; is it a run folder?") from None
        except (OSError, ValueError) as error:
            raise BadRun(f"{path} cannot be read: {error}") from None
        if not isinstance(value, dict) or value.get("schema") != SCHEMA_VERSION:
            got = value.get("schema") if isinstance(value, dict) else type(value).__name__
            raise BadRun(f"{path} has schema {got!r}, expected {SCHEMA_VERSION}; use the version that wrote it")
        return value

    def log(self, text: str) -> None:
        """Append to the run's log: what tools printed, and tracebacks of those that failed."""
        with (self.folder / "log.txt").open("a", encoding="utf-8") as out:
            out.write(text.rstrip() + "\n")

    def _atomic(self, part: str, name: str, save: Callable[[Path], Any]) -> None:
        target = self.folder / part / name
        beside = target.with_name(f".{name}.{os.getpid()}.tmp")
        try:
            save(beside)
            with beside.open("rb") as written:
                os.fsync(written.fileno())
            beside.replace(target)
            _sync_folder(target.parent)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise BadRun(f"{target} cannot be written: {error.strerror}; what was finished before is safe") from None


def _sync_folder(folder: Path) -> None:
    """Flush a rename to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
