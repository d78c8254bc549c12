"""What a trial of `faults.py` is made of: a run in a child process, its end, and what it leaves in its folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.acero  # loaded at the first grouping, where a starved child has no room for it
import torchattacks  # noqa: F401  # every child has it then
from toy import case

from harness.base import machine
from harness.base.machine import versions
from harness.errors import HarnessError
from harness.evidence.store import RunStore
from harness.evidence.witnesses import SCHEMA as WITNESSES
from harness.inputs.registry import Registry
from harness.measure.worker import Worker
from harness.run.job import Options, Run, evaluate
from harness.run.progress import LiveReport, interrupts
from harness.types import Scale

BY = [("attack", "ascending"), ("component", "ascending"), ("epsilon", "ascending"), ("sample_id", "ascending")]
REFUSED, STOPPED = 2, 3
"""How a child ends whose run was refused with one line, or interrupted."""


@dataclass
class Row:
    """All trials of one fault."""

    fault: str
    executor: str = "local"
    trials: int = 0
    survived: int = 0
    lost: int = 0
    different: int = 0
    again: int = 0
    out_of_memory: int = 0
    unexpected: list[str] = field(default_factory=list)


def start(results: Path, attempts: Path | None = None, executor: str = "local", **changes: Any) -> Run:
    """One start of the run under `results`; every unit that is begun is noted in `attempts`."""
    model, suite, data = case(**{"n": 24} | changes)
    if attempts is not None and executor == "local":
        compute = Worker.compute

        def noted(self: Worker, lane: Any, place: int, *rest: Any) -> Any:
            with attempts.open("a") as out:
                out.write(f"{lane} {place}\n")
            return compute(self, lane, place, *rest)

        Worker.compute = noted  # type: ignore[method-assign]
    options = Options(
        results,
        device="cpu",
        batch_size=8,
        precision="exact",
        executor=executor,
        scale=Scale(2 if executor == "ray" else None),
    )
    with LiveReport(quiet=True) as report, interrupts(report):
        return evaluate(model, suite, data, options, report)


def by_heart() -> None:
    """Look up what is installed once, for all children: a third of the time that so small a run takes."""
    look = Registry.__dict__["_entries"].func
    entries = cache(lambda kind: look(Registry(kind)))
    Registry._entries = property(lambda registry: entries(registry.kind))  # type: ignore[assignment]
    machine.version = cache(machine.version)  # type: ignore[attr-defined]
    for kind in ("attacks", "executors"):
        Registry(kind).names()
    versions()


def fork(body: Callable[[], Run | None]) -> int:
    """Run `body` in a child: exit code 0, `REFUSED` with one line, `STOPPED` by Ctrl-C, 1 for anything else."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setpgid(0, 0)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        run = body()
        code = STOPPED if run is not None and run.info.status != "complete" else 0
    except HarnessError as error:
        code = REFUSED if str(error) else 1
    except KeyboardInterrupt:
        code = STOPPED
    finally:
        os._exit(code)


def begin(results: Path, **changes: Any) -> int:
    """Start the run under `results` in a child, and note what it begins."""
    return fork(partial(start, results, results / "attempts", **changes))


def wait(child: int) -> int:
    """The child's exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def parents() -> dict[int, int]:
    """Every living process of this machine and its parent."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                found[int(path.parent.name)] = int(parent)
    return found


def descendants(pid: int) -> set[int]:
    """The children of a process, theirs, and so on."""
    known = parents()
    found, fresh = set[int](), {pid}
    while fresh:
        fresh = {child for child, parent in known.items() if parent in fresh} - found
        found |= fresh
    return found


def contents(folder: Path) -> tuple[pa.Table, pa.Table]:
    """Facts and witnesses of a run, in a fixed order."""
    store = RunStore(folder)
    found = pa.concat_tables([WITNESSES.empty_table(), *store.all_witnesses()])
    return store.all_facts().sort_by(BY), found.sort_by(BY)


def run_in(results: Path) -> Path:
    """The one run under `results`; `results` itself if there is none."""
    return next((path for path in results.glob("[!.]*") if path.is_dir()), results)


def shards(folder: Path) -> dict[str, int]:
    """Finished units, each with the identity of its file."""
    return {path.name: path.stat().st_ino for path in folder.glob("[!.]*/facts/*.parquet")}
