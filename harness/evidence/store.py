"""A run on disk: atomic shards, so that starting again continues and nothing finished is ever lost.

::

    results/<run>/run.json               what was asked, how it was resolved, status and timings
    results/<run>/plan.json              the plan alone, written once: it survives a torn run.json
    results/<run>/facts/<unit>.parquet   one shard for each finished unit; its presence says the unit is done
    results/<run>/witnesses/<unit>.parquet
    results/<run>/unfinished/            what running units have found so far (`harness.evidence.unfinished`)
    results/<run>/summary.json           numbers, recountable from the facts

Every file is written whole or not at all (`harness.base.files`); witnesses come before the facts that speak of
them. One process holds the run (`harness.evidence.lock`), and its workers leave notes of what they compute
(`harness.evidence.lock.running`).
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from harness.base.files import no_file, strict_json, sweep, write_atomically
from harness.errors import BadRun, TornFile
from harness.evidence import costs, facts, lock, parquet, unfinished
from harness.evidence import witnesses as codec
from harness.evidence.lock import running, take_left
from harness.evidence.plan_info import Plan
from harness.evidence.run_info import ESTIMATES_SCHEMA, SCHEMA_VERSION, RunInfo
from harness.evidence.run_json import parse, parse_plan
from harness.evidence.structs import as_json
from harness.types import Finding, Level


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


PARTS = ("facts", "witnesses", costs.FOLDER, unfinished.FOLDER)
"""Folders of a run's folder."""


class RunStore:
    """One run's folder; open it with `RunStore.create` to write or plainly to read."""

    def __init__(self, folder: Path, pieces: Mapping[str, int] | None = None) -> None:
        self.folder = folder
        self.pieces = dict(pieces or {})
        """By attack, how many of its chunks make one of the suite's, where that is not one."""
        self.events: list[Finding] = []
        """What happened to the folder: torn files that were set aside, processes that died."""

    @classmethod
    def create(cls, results: Path, name: str) -> RunStore:
        """The run's folder under `results`, made if need be.

        Raises:
            BadRun: the folder cannot be written.
        """
        folder = results / name
        try:
            for part in PARTS:
                (folder / part).mkdir(parents=True, exist_ok=True)
            probe = folder / f".probe.{secrets.token_hex(6)}.tmp"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise BadRun(
                f"results folder {folder} cannot be written: {error.strerror}; choose another with --results"
            ) from None
        return cls(folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process, and clean up after those that died; see `harness.evidence.lock.locked`.

        Raises:
            BadRun: another process is writing this run, or its folder was replaced meanwhile.
        """
        with lock.locked(self.folder):
            for part in ("", *PARTS):
                sweep(self.folder / part)
            unfinished.sweep(self.folder)
            for words in take_left(self.folder):
                self.event("died", "info", words)
            yield

    def event(self, check: str, level: Level, message: str) -> None:
        """Note something that happened to the run, in `events` and in the run's log."""
        self.events.append(Finding(check, level, message))
        self.log(f"{level}: {message}")

    def running(self, unit: Unit, since: str) -> contextlib.AbstractContextManager[None]:
        """Leave a note, while `unit` is computed, of what is running; see `harness.evidence.lock.running`."""
        return running(self.folder, unit.filename.removesuffix(".parquet"), since)

    def clear(self) -> None:
        """Remove what an earlier start left; call it while the run is `locked`, so that no other process is writing."""
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != lock.NAME:
                path.unlink()
        for part in PARTS:
            (self.folder / part).mkdir()
        self.events.clear()

    @property
    def begun(self) -> bool:
        """Whether there are facts of any unit."""
        return any((self.folder / "facts").glob("*.parquet"))

    def facts_of(self, unit: Unit) -> pa.Table | None:
        """Facts of a finished unit, or None; a shard that cannot be read is set aside and its unit counts as undone.

        So is a unit whose witnesses are gone or torn.
        """
        path = self.folder / "facts" / unit.filename
        if not path.exists():
            return None
        try:
            found = facts.read(path)
        except BadRun:
            self.set_aside(unit, "could not be read")
            return None
        if facts.promised(found) and not self._has_witnesses(unit):
            self.set_aside(unit, "has lost its witnesses")
            return None
        return found

    def _has_witnesses(self, unit: Unit) -> bool:
        """Whether the unit's witnesses are there and whole: its own file, or the chunk's (`thin_witnesses`)."""
        names = (unit.filename, f"worst-{unit.chunk // self.pieces.get(unit.attack, 1):05d}.parquet")
        paths = [path for name in names if (path := self.folder / "witnesses" / name).exists()]
        return bool(paths) and all(parquet.is_whole(path) for path in paths)

    def set_aside(self, unit: Unit, reason: str) -> None:
        """Keep the facts of `unit`, which are no good, as ``*.torn``: the unit is not done any more.

        Raises:
            BadRun: the folder cannot be written.
        """
        path = self.folder / "facts" / unit.filename
        try:
            path.replace(path.with_suffix(".torn"))
        except OSError as error:
            raise BadRun(f"{path} {reason} and cannot be moved away: {error.strerror}") from None
        self.event("torn", "warn", f"{unit.filename} {reason}; its unit was computed again")

    def discard(self, unit: Unit) -> None:
        """Forget a finished unit, which is to be computed again.

        Raises:
            BadRun: the folder cannot be written.
        """
        try:
            for part in ("facts", "witnesses"):
                (self.folder / part / unit.filename).unlink(missing_ok=True)
        except OSError as error:
            raise BadRun(f"{self.folder}: {unit.filename} cannot be removed: {error.strerror}") from None

    def missing(self, units: Iterable[Unit]) -> list[str]:
        """Which of `units` have no facts on disk, by file name."""
        there = {path.name for path in (self.folder / "facts").glob("*.parquet")}
        return sorted({unit.filename for unit in units} - there)

    def write(self, unit: Unit, found: pa.Table, witnesses: pa.Table | None) -> None:
        """Store a finished unit."""
        promising = facts.promising(found, 0 if witnesses is None else len(witnesses))
        if witnesses is not None and len(witnesses):
            write_atomically(self.folder / "witnesses" / unit.filename, lambda path: codec.write(path, witnesses))
        write_atomically(self.folder / "facts" / unit.filename, lambda path: facts.write(path, promising))
        unfinished.drop(self.folder, unit.filename)

    def write_witnesses(self, filename: str, witnesses: pa.Table, instead_of: list[str]) -> None:
        """Store a witness shard and then remove those it replaces."""
        write_atomically(self.folder / "witnesses" / filename, lambda path: codec.write(path, witnesses))
        for name in instead_of:
            if name != filename:
                (self.folder / "witnesses" / name).unlink(missing_ok=True)

    def thin_witnesses(self, chunks: int) -> None:
        """Keep for every sample the witness at its smallest epsilon, and of those the nearest; chunk by chunk."""
        shards: dict[int, list[str]] = {}
        for path in sorted((self.folder / "witnesses").glob("*.parquet")):
            unit, _, number = path.stem.rpartition("-")
            attack = unit.rpartition("@")[0].replace("~", "/")
            shards.setdefault(int(number) // self.pieces.get(attack, 1), []).append(path.name)
        for index in range(chunks):
            names = shards.get(index, [])
            final = f"worst-{index:05d}.parquet"
            if not names or names == [final]:
                continue
            table = codec.concat([codec.read(self.folder / "witnesses" / name) for name in names])
            order = table.sort_by([("sample_id", "ascending"), ("epsilon", "ascending"), ("distance", "ascending")])
            samples = order["sample_id"].to_pylist()
            first = [row for row, sample in enumerate(samples) if row == 0 or samples[row - 1] != sample]
            self.write_witnesses(final, order.take(first), names)

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
            yield codec.read(path)

    def write_info(self, info: RunInfo) -> None:
        """Write ``run.json`` atomically."""
        self.write_json("run.json", as_json(info))

    def check_files(self) -> None:
        """Refuse a folder in which something is no file, before any of it is opened.

        Raises:
            BadRun: names it.
        """
        if (stray := no_file((self.folder, *(self.folder / part for part in PARTS)))) is not None:
            raise BadRun(f"{stray} is no file but a pipe, socket or device; remove it")

    def read_info(self) -> RunInfo:
        """Read ``run.json``.

        Raises:
            BadRun: missing, of another schema, or not the form of a run; or something in the folder is no file.
            TornFile: not JSON.
        """
        self.check_files()
        return parse(self.read_json("run.json"), self.folder / "run.json")

    def write_plan(self, info: RunInfo) -> None:
        """Write ``plan.json`` atomically: what a run whose run.json is torn is continued by."""
        self.write_json("plan.json", {"schema": SCHEMA_VERSION, "key": info.key, "plan": as_json(info.planned)})

    def read_plan(self) -> tuple[str, Plan]:
        """Key and plan of ``plan.json``; raises as `read_info`."""
        content = self.read_json("plan.json")
        return str(content.get("key")), parse_plan(content, self.folder / "plan.json")

    def write_json(self, name: str, value: Any) -> None:
        """Write ``run.json`` or ``summary.json`` atomically."""
        text = json.dumps(value, indent=2, allow_nan=False) + "\n"
        write_atomically(self.folder / name, lambda path: path.write_text(text, encoding="utf-8"))

    def read_json(self, name: str) -> dict[str, Any]:
        """Read ``run.json`` or ``summary.json``.

        Raises:
            BadRun: missing, or of another schema.
            TornFile: not JSON.
        """
        path = self.folder / name
        try:
            value = strict_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise BadRun(f"{self.folder} has no {name}; is it a run folder?") from None
        except OSError as error:
            raise BadRun(f"{path} cannot be read: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise TornFile(f"{path} cannot be read as JSON: {error}") from None
        known = (SCHEMA_VERSION, ESTIMATES_SCHEMA) if name == "summary.json" else (SCHEMA_VERSION,)
        if not isinstance(value, dict) or value.get("schema") not in known:
            got = value.get("schema") if isinstance(value, dict) else type(value).__name__
            raise BadRun(f"{path} has schema {got!r}, expected {SCHEMA_VERSION}; use the version that wrote it")
        return value

    def log(self, text: str) -> None:
        """Append to the run's log: what tools printed, and tracebacks of those that failed.

        A log that cannot be written is no reason to lose the unit it is about.
        """
        with contextlib.suppress(OSError), (self.folder / "log.txt").open("a", encoding="utf-8") as out:
            out.write(text.rstrip() + "\n")
