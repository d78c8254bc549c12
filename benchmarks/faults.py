"""What an evaluation survives: kills at random and at every step, and the other things that happen to long runs.

Every trial does something to a run, starts it again, and compares with an undisturbed run::

    python benchmarks/faults.py -o benchmarks/results/faults.json
    python benchmarks/faults.py workers --worker-kills 30 -o benchmarks/results/faults.json  # again, and only this

*Lost* are finished units that were computed again or are gone, *different* are runs whose facts or witnesses are not
those of the undisturbed run, bit for bit; *again* is the largest number of units that were computed twice for one kill.
Only kills that hit a living process are counted. Most runs live in children forked off this process, which has
imported everything and computed nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.acero  # loaded at the first grouping, where a starved child has no room for it
import torch
import torchattacks  # noqa: F401  # every child has it then
from toy import PGD, case

from harness import plan
from harness.cli.report import LiveReport, interrupts
from harness.errors import HarnessError
from harness.evidence import SCHEMA as WITNESSES
from harness.executors.ray import ATTEMPTS
from harness.plan import versions
from harness.registry import Registry
from harness.run import Options, Run, evaluate
from harness.store import RunStore
from harness.types import Scale
from harness.worker import Worker

PARTS = ("kills", "steps", "faults", "processes", "workers")
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

        def noted(self: Worker, lane: Any, place: int) -> Any:
            with attempts.open("a") as out:
                out.write(f"{lane} {place}\n")
            return compute(self, lane, place)

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
    plan.version = cache(plan.version)  # type: ignore[attr-defined]
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
        code = STOPPED if run is not None and run.info["status"] != "complete" else 0
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


class Campaign:
    """Runs trials and keeps the rows."""

    def __init__(self, seed: int, output: Path | None) -> None:
        self.chance, self.output = random.Random(seed), output
        self.top = Path(tempfile.mkdtemp(prefix="faults-"))
        self.rows: list[Row] = []
        if output is not None and output.exists():  # parts may be measured one at a time
            self.rows = [Row(**row) for row in json.loads(output.read_text())["rows"]]
        self.number = 0
        by_heart()
        pa.array(np.zeros(1))  # imports what it needs; children have it then
        wait(fork(partial(start, self.folder())))
        begun = time.monotonic()
        child = fork(partial(start, self.top / "whole", self.top / "attempts"))
        assert wait(child) == 0
        self.seconds = time.monotonic() - begun
        self.whole = contents(run_in(self.top / "whole"))
        self.units = len(shards(self.top / "whole"))

    def folder(self) -> Path:
        """A new results folder."""
        self.number += 1
        made = self.top / str(self.number)
        made.mkdir()
        return made

    def row(self, fault: str, executor: str = "local") -> Row:
        """A new row of the table; those before it are written, so that a campaign that is cut short leaves them."""
        self.save()
        return self.add(Row(fault, executor))

    def add(self, row: Row) -> Row:
        """Put `row` into the table, in place of an earlier one of the same fault."""
        self.rows = [old for old in self.rows if (old.fault, old.executor) != (row.fault, row.executor)]
        self.rows.append(row)
        return row

    def pause(self, child: int) -> bool:
        """Wait for a random moment of the child's run; False if its end came first.

        Learns how long a run takes, which changes with the load of the machine, so that one in ten ends first.
        """
        until = time.monotonic() + self.chance.uniform(0, self.seconds)
        while time.monotonic() < until:
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                self.seconds *= 0.9
                return False
            time.sleep(0.002)
        self.seconds *= 1.01
        return True

    def kill(self, child: int) -> bool:
        """SIGKILL at a random moment; whether it hit."""
        self.pause(child)
        os.kill(child, signal.SIGKILL)
        return wait(child) == -signal.SIGKILL

    def finish(
        self, row: Row, results: Path, before: dict[str, int], kills: int = 1, torn: int = 0, run: Any = None
    ) -> None:
        """Start the run again, undisturbed, and judge what comes out; `torn` units may be computed again besides.

        A trial is one of `kills` that the run saw.
        """
        row.trials += kills
        code = wait(fork(run or partial(start, results, results / "attempts")))
        folder = run_in(results)
        if code != 0:
            row.unexpected.append(f"starting again ended with {code}")
            return
        try:
            same = all(here.equals(there) for here, there in zip(contents(folder), self.whole, strict=True))
        except HarnessError as error:
            row.unexpected.append(str(error))
            return
        after = shards(results)
        gone = sum(after.get(name) != inode for name, inode in before.items())
        lost = max(0, gone - torn)
        if (results / "attempts").exists():
            begun = (results / "attempts").read_text().count("\n")
            row.again = max(row.again, -(-(begun - self.units - torn) // max(1, kills)))
        left = [path.name for path in folder.rglob(".*") if path.name != ".lock"]
        if left:
            row.unexpected.append(f"left behind: {left[0]}")
        row.lost += lost
        row.different += not same
        row.survived += kills if same and not lost and not left else 0
        self.save()
        shutil.rmtree(results, ignore_errors=True)

    def random_kills(self, kills: int) -> None:
        """SIGKILL at random moments; a run may be killed up to three times."""
        row, done = self.row("kill -9 at random moments"), 0
        while done < kills:
            results, before, here = self.folder(), {}, 0
            for _ in range(self.chance.randint(1, min(3, kills - done))):
                here += self.kill(begin(results))
                before |= shards(results)
            self.finish(row, results, before, here)
            done += here

    def kills_at_steps(self, stride: int) -> None:
        """SIGKILL before a step of the store: each open, rename, removal in the results folder, every `stride`-th."""
        row, step = self.row("kill -9 before a step of the store"), 1
        while True:
            results = self.folder()
            code = wait(fork(partial(self._killed_at, step, results)))
            if code != -signal.SIGKILL:  # it has fewer steps
                if code != 0:
                    row.unexpected.append(f"ended with {code}")
                shutil.rmtree(results)
                return
            self.finish(row, results, shards(results))
            step += stride

    def _killed_at(self, step: int, results: Path) -> Run:
        left = step

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal left
            if event in ("open", "os.rename", "os.remove", "os.mkdir") and str(results) in str(arguments[0]):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        attempts = results / "attempts"
        attempts.touch()
        sys.addaudithook(hook)
        return start(results, attempts)

    def power_loss(self, trials: int) -> None:
        """SIGKILL, then a file of the run is cut short or zeroed, as file systems do that lie about fsync."""
        row = self.row("power loss: torn file")
        for _ in range(trials):
            results = self.folder()
            self.kill(begin(results))
            before = shards(results)
            files = [path for path in results.glob("[!.]*/**/*") if path.suffix in (".parquet", ".json")]
            torn = 0
            if files:
                path = self.chance.choice(files)
                content = path.read_bytes()
                cut = self.chance.randrange(len(content)) if content else 0
                path.write_bytes(content[:cut] + (bytes(len(content) - cut) if self.chance.random() < 0.5 else b""))
                torn = path.suffix == ".parquet"
            self.finish(row, results, before, torn=torn)

    def disk_full(self, trials: int) -> None:
        """No file may grow beyond a random size, or the whole file system is tiny; then there is room again."""
        row = self.row("disk full")
        for trial in range(trials):
            results = self.folder()
            mounted = trial % 2 == 0 and self._mount(results, f"size={self.chance.choice([16, 32, 64, 128])}k")
            limit = self.chance.randint(100, 8000)

            def limited(results: Path = results, limit: int = limit, mounted: bool = mounted) -> Run:
                if not mounted:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
                return start(results)

            self._refused(row, wait(fork(limited)))
            before = shards(results)
            if mounted:
                subprocess.run(["mount", "-o", "remount,size=64m", str(results)], check=True)
            self.finish(row, results, before)
            self._unmount(results, mounted)

    def read_only(self, trials: int) -> None:
        """The file system of the results turns read-only in the middle."""
        row = self.row("folder turns read-only")
        for _ in range(trials):
            results = self.folder()
            if not self._mount(results, "size=64m"):
                self.rows.remove(row)
                return
            child = begin(results)
            self.pause(child)
            for _attempt in range(200):  # busy while a file is open for writing
                if subprocess.run(["mount", "-o", "remount,ro", str(results)], capture_output=True).returncode == 0:
                    break
            self._refused(row, wait(child))
            self._refused(row, wait(begin(results)), done=True)
            before = shards(results)
            subprocess.run(["mount", "-o", "remount,rw", str(results)], check=True)
            self.finish(row, results, before)
            self._unmount(results, True)

    def _refused(self, row: Row, code: int, done: bool = True) -> None:
        if code != REFUSED and not (done and code == 0):
            row.unexpected.append(f"ended with {code} instead of one line")

    def _mount(self, results: Path, options: str) -> bool:
        return (
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "toy", str(results)], capture_output=True).returncode
            == 0
        )

    def _unmount(self, results: Path, mounted: bool) -> None:
        if mounted:
            subprocess.run(["umount", "-l", str(results)], check=True)

    def vanishing(self, trials: int) -> None:
        """The run's folder is removed in the middle: what was in it is gone, the run must not claim to be complete."""
        row = self.row("results folder vanishes")
        for _ in range(trials):
            results = self.folder()
            child = begin(results)
            self.pause(child)
            for path in results.iterdir():
                shutil.rmtree(path, ignore_errors=True)
            self._refused(row, wait(child))
            self.finish(row, results, {})

    def two_processes(self, trials: int) -> None:
        """Two starts of one run at the same time: one measures, the other is told."""
        row = self.row("two processes on one run")
        for _ in range(trials):
            results = self.folder()
            first = begin(results)
            time.sleep(self.chance.uniform(0, 0.5 * self.seconds))
            second = begin(results)
            codes = sorted([wait(first), wait(second)])
            if codes not in ([0, REFUSED], [0, 0]):  # both, if the first was done already
                row.unexpected.append(f"ended with {codes}")
            self.finish(row, results, shards(results))

    def lock_of_the_dead(self, trials: int) -> None:
        """A killed process leaves a child behind: the lock must not live on in it."""
        row = self.row("owner of the lock killed, its child lives")
        for _ in range(trials):
            results = self.folder()
            note = results / "child"

            def with_child(results: Path = results, note: Path = note) -> Run:
                def spawn() -> None:
                    time.sleep(0.3 * self.seconds)
                    if (child := os.fork()) == 0:
                        time.sleep(60)
                        os._exit(0)
                    note.write_text(str(child))

                threading.Thread(target=spawn, daemon=True).start()
                return start(results, results / "attempts")

            child, words = fork(with_child), ""
            while not words and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                time.sleep(0.01)
                words = note.read_text() if note.exists() else ""
            os.kill(child, signal.SIGKILL)
            if wait(child) != -signal.SIGKILL:
                self.seconds *= 0.9
            self.finish(row, results, shards(results))
            if words:
                os.kill(int(words), signal.SIGKILL)

    def clock(self, trials: int) -> None:
        """The clock runs backwards, and files come from the future."""
        row = self.row("clock goes backwards")
        for _ in range(trials):
            results = self.folder()

            def backwards(results: Path = results) -> Run:
                import harness.run
                import harness.worker

                ticks = iter(range(10**6))
                for module in (harness.run, harness.worker):
                    module.now = lambda: f"20{40 - min(30, next(ticks)):02d}-01-01T00:00:00+00:00"  # type: ignore[attr-defined]
                time.time = lambda: 2e9 - 1e5 * next(ticks)  # type: ignore[method-assign]
                return start(results, results / "attempts")

            self.kill(fork(backwards))
            for path in results.rglob("*"):
                os.utime(path, (4e9, 4e9))
            self.finish(row, results, shards(results), run=backwards)

    def interrupted(self, presses: int, trials: int, number: int = signal.SIGINT) -> None:
        """Ctrl-C (or SIGTERM) at a random moment, once or twice."""
        name = "SIGTERM" if number == signal.SIGTERM else f"Ctrl-C {'once' if presses == 1 else 'twice'}"
        row = self.row(name)
        for _ in range(trials):
            results = self.folder()
            child = begin(results)
            time.sleep(0.1 * self.seconds)
            self.pause(child)
            for _press in range(presses):
                with suppress(ProcessLookupError):
                    os.kill(child, number)
                time.sleep(0.002)
            code = wait(child)
            if code not in (0, STOPPED):
                row.unexpected.append(f"ended with {code}")
            self.finish(row, results, shards(results))

    def memory(self, trials: int) -> None:
        """The host has too little memory for the batch: the run finishes, and says how often it went on with less.

        With so little, libraries below the harness may end the process instead (a segmentation fault in an allocator,
        the C library's exit code 127, a module that cannot be loaded). That is like a kill: the next start has to
        finish.
        """
        finished, ended = self.row("out of memory on the host"), self.row("out of memory ends the process")
        wide = {"width": 3000, "attacks": (PGD,), "n": 16, "chunk": 16}
        for _ in range(trials):
            results, whole = self.folder(), self.folder()
            assert wait(fork(partial(start, whole, None, **wide))) == 0
            spare = self.chance.randint(24, 40) << 20

            def starved(results: Path = results, spare: int = spare) -> Run:
                size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
                resource.setrlimit(resource.RLIMIT_AS, (size + spare, resource.RLIM_INFINITY))
                return start(results, **wide)

            code = wait(fork(starved))
            row = finished if code == 0 else ended
            row.trials += 1
            if row is ended:
                code = wait(fork(partial(start, results, None, **wide)))
            if code != 0:
                row.unexpected.append(f"ended with {code}")
                continue
            folder, other = run_in(results), run_in(whole)
            events = RunStore(folder).read_json("run.json")["out_of_memory"]
            row.out_of_memory += events
            row.survived += 1
            # A smaller batch may round differently: such differences are allowed here, and counted.
            exact = not events and row is finished  # who is killed cannot say how often
            row.different += exact and not contents(folder)[0].equals(contents(other)[0])

    def whole_processes(self, trials: int, executor: str) -> None:
        """A driver started by its command line is killed; a Ray driver's workers have to follow it."""
        row = self.row("kill -9 of the whole process", executor)
        for _ in range(trials):
            results = self.folder()
            words = [sys.executable, __file__, "--start", str(results), "--executor", executor]
            child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            begun, wanted = time.monotonic(), self.chance.randrange(self.units)
            while child.poll() is None and len(shards(results)) < wanted and time.monotonic() < begun + 120:
                time.sleep(0.005)
            others = descendants(child.pid)
            child.kill()
            child.wait()
            until = time.monotonic() + 120
            while (left := others & set(parents())) and time.monotonic() < until:
                time.sleep(0.05)
            if left:
                row.unexpected.append(f"{len(left)} of {len(others)} processes outlived it by two minutes")
            before = shards(results)

            def again(words: list[str] = words) -> None:
                subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

            self.finish(row, results, before, run=again)

    def save(self) -> None:
        """Write the report as it is now."""
        if self.output is not None:
            self.output.parent.mkdir(parents=True, exist_ok=True)
            self.output.write_text(json.dumps(self.report(), indent=2) + "\n")

    def report(self) -> dict[str, Any]:
        """The table, and what it was made with."""
        rows = [asdict(row) for row in self.rows]
        total = {key: sum(row[key] for row in rows) for key in ("trials", "survived", "lost", "different")}
        kills = sum(row["trials"] for row in rows if "kill" in row["fault"])
        return {
            "benchmark": "faults",
            "units": self.units,
            "seconds_of_one_run": round(self.seconds, 3),
            "kills": kills,
            "total": total | {"unexpected": sum(len(row["unexpected"]) for row in rows)},
            "rows": rows,
            "versions": versions(),
        }


def worker_kills(top: Path, whole: tuple[pa.Table, pa.Table], kills: int, seed: int) -> None:
    """SIGKILL to random Ray workers while they compute; the driver has to finish by itself. Writes its row."""
    import ray

    row, chance = Row("kill -9 of a worker", "ray"), random.Random(seed)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    number = 0
    while row.trials < kills:
        results = top / f"ray-{number}"
        results.mkdir()
        number += 1
        stopped, killed = threading.Event(), list[str]()

        seen: dict[str, int] = {}

        def killer(
            results: Path = results,
            stopped: threading.Event = stopped,
            killed: list[str] = killed,
            seen: dict[str, int] = seen,
        ) -> None:
            while not stopped.is_set() and len(killed) + row.trials < kills and len(killed) < 4:
                time.sleep(chance.uniform(0.02, 0.4))
                for note in results.glob("*/.running-*.json"):
                    with suppress(OSError, ValueError, KeyError):
                        about = json.loads(note.read_text())
                        pid, unit = about["pid"], about["unit"]
                        # Not the note of one that was killed before, nor a unit that would be given up for it.
                        if pid not in parents() or killed.count(unit) == ATTEMPTS - 1:
                            continue
                        before = shards(results)
                        os.kill(pid, signal.SIGKILL)
                        killed.append(unit)
                        seen.update(before)
                        break

        thread = threading.Thread(target=killer, daemon=True)
        thread.start()
        run = start(results, executor="ray")
        stopped.set()
        thread.join()
        after = shards(results)
        lost = sum(after.get(name) != inode for name, inode in seen.items())
        same = all(here.equals(there) for here, there in zip(contents(run.folder), whole, strict=True))
        row.trials += len(killed)
        row.lost += lost
        row.different += not same
        row.survived += len(killed) if same and not lost else 0
        repeated = sum("ran again" in found["message"] for found in run.info["findings"] if found["check"] == "died")
        row.again = max(row.again, -(-repeated // max(1, len(killed))))
        (top / "ray.json").write_text(json.dumps(asdict(row)))
    ray.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)}; all, if none is named")
    parser.add_argument("--kills", type=int, default=150, help="kills at random moments, local executor")
    parser.add_argument("--stride", type=int, default=2, help="kill before every n-th step of the store")
    parser.add_argument("--worker-kills", type=int, default=30, help="kills of Ray workers")
    parser.add_argument("--driver-kills", type=int, default=4, help="kills of whole processes, with each executor")
    parser.add_argument("--trials", type=int, default=10, help="trials of each other fault")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--executor", default="local", help=argparse.SUPPRESS)
    parser.add_argument("--ray-part", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.start:
        start(arguments.start, executor=arguments.executor)
        return
    if arguments.ray_part:
        whole = contents(run_in(arguments.ray_part / "whole"))
        worker_kills(arguments.ray_part, whole, arguments.worker_kills, arguments.seed)
        return
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"unknown part {min(unknown)!r}; there are {', '.join(PARTS)}")
    parts = arguments.parts or PARTS
    campaign, trials = Campaign(arguments.seed, arguments.output), arguments.trials
    if "kills" in parts:
        campaign.random_kills(arguments.kills)
    if "steps" in parts:
        campaign.kills_at_steps(arguments.stride)
    if "faults" in parts:
        campaign.power_loss(trials)
        campaign.disk_full(trials)
        campaign.read_only(trials)
        campaign.vanishing(trials)
        campaign.two_processes(trials)
        campaign.lock_of_the_dead(trials)
        campaign.clock(trials)
        campaign.interrupted(1, trials)
        campaign.interrupted(2, trials)
        campaign.interrupted(1, trials, signal.SIGTERM)
        campaign.memory(trials)
    if "processes" in parts:
        for executor in ("local", "ray"):
            campaign.whole_processes(arguments.driver_kills, executor)
    if "workers" in parts:
        words = [sys.executable, __file__, "--ray-part", str(campaign.top), "--seed", str(arguments.seed)]
        done = subprocess.run([*words, "--worker-kills", str(arguments.worker_kills)])
        note = campaign.top / "ray.json"
        row = campaign.add(Row(**json.loads(note.read_text())) if note.exists() else Row("kill -9 of a worker", "ray"))
        if done.returncode:
            row.unexpected.append(f"the driver ended with {done.returncode}")
    report = campaign.report()
    shutil.rmtree(campaign.top, ignore_errors=True)
    print(f"{'fault':44} {'executor':8} trials survived lost different again")
    for row in report["rows"]:
        figures = (row[key] for key in ("trials", "survived", "lost", "different", "again"))
        print(
            f"{row['fault']:44} {row['executor']:8} {' '.join(f'{figure:6}' for figure in figures)}",
            *row["unexpected"][:1],
        )
    campaign.save()


if __name__ == "__main__":
    main()
