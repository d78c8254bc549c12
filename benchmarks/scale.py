"""What size costs: memory and file handles against samples, overhead for each unit, workers, and a simulated cluster.

::

    python benchmarks/scale.py memory overhead driver simulate -o benchmarks/results/scale.json
    python benchmarks/scale.py speedup  # on a machine that has nothing else to do

``memory`` runs single-step attacks on a tiny model over data made on the fly, each size in a process of its own.
``simulate`` plays a run of 50,000 samples on up to 10,000 workers with the driver's real bookkeeping and the time that
the driver needs for a unit.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from toy import FGSM, PGD, case

from harness.base.machine import device_name, versions
from harness.inputs.suite_file import load_suite
from harness.measure.done import Done
from harness.measure.executors.schedule import Schedule
from harness.measure.lanes import Lane, all_lanes
from harness.run.job import Options, evaluate
from harness.run.progress import Silent
from harness.types import Scale

DRIVER_SECONDS = 0.002
"""What the driver needs for a unit, rounded up from ``driver``."""


class Watch(Silent):
    """Resident memory, MiB, and open files after each unit."""

    def __init__(self) -> None:
        self.memory: list[float] = []
        self.files: list[int] = []

    def finished(self, done: Done) -> None:
        """Look."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.memory.append(pages * resource.getpagesize() / 2**20)
        self.files.append(len(os.listdir("/proc/self/fd")))


def one_size(n: int) -> dict[str, Any]:
    """One run over `n` samples: what it held in memory, early and late, and afterwards."""
    model, suite, data = case(n=n, chunk=512, attacks=(FGSM,))
    watch, begun = Watch(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        run = evaluate(
            model, suite, data, Options(Path(folder), device="cpu", batch_size=512, precision="exact"), watch
        )
        stored = sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file())
        count = sum(path.is_file() for path in run.folder.rglob("*"))
    early = max(2, len(watch.memory) // 10)
    return {
        "samples": n,
        "units": len(watch.memory),
        "complete": run.complete,
        "mib_after_a_tenth": round(watch.memory[early - 1], 1),
        "mib_at_the_last_unit": round(watch.memory[-1], 1),
        "mib_peak_with_summary": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "facts_mib": round(run.facts.nbytes / 2**20, 1),
        "open_files_first_last": [watch.files[1], watch.files[-1]],
        "files_on_disk": count,
        "mib_on_disk": round(stored / 2**20, 1),
        "seconds": round(time.monotonic() - begun, 1),
    }


def memory(sizes: list[int]) -> list[dict[str, Any]]:
    """`one_size` for each size, in processes of their own."""
    rows = []
    for n in sizes:
        done = subprocess.run(
            [sys.executable, __file__, "--one-size", str(n)], capture_output=True, text=True, check=True
        )
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(json.dumps(rows[-1]), flush=True)
    return rows


def overhead(units: int = 200) -> dict[str, Any]:
    """What a unit costs besides the attack: one sample in each, a single step, at one epsilon."""
    model, suite, data = case(n=units, chunk=1, attacks=(FGSM,))
    suite = suite.with_grid(["8/255"])
    costs = {}
    for place in ("/dev/shm", None):
        with tempfile.TemporaryDirectory(dir=place) as folder:
            options = Options(Path(folder), device="cpu", batch_size=1, precision="exact", witnesses="none")
            watch, wall, used = Watch(), time.monotonic(), time.process_time()
            evaluate(model, suite, data, options, watch)
            spent = {"wall_ms": time.monotonic() - wall, "processor_ms": time.process_time() - used}
        name = "in memory" if place else "on disk"
        costs[name] = {key: round(1000 * value / (2 * units), 2) for key, value in spent.items()}
    return {"units": 2 * units, "for_each_unit": costs}


def driver() -> dict[str, Any]:
    """What the driver needs for a unit on Ray: a call and its answer, and waiting among many that are not ready."""
    import ray

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.environ.setdefault("RAY_worker_niceness", "0")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    facts = case()[2].take(range(8))[0].numpy()

    class Nobody:
        def answer(self, seconds: float) -> Any:
            time.sleep(seconds)
            return facts

    actor = ray.remote(Nobody).remote()
    ray.get(actor.answer.remote(0))
    used, begun, calls = time.process_time(), time.monotonic(), 500
    for _ in range(calls):
        ray.get(actor.answer.remote(0))
    found: dict[str, Any] = {
        "call_and_answer_ms": round(1000 * (time.monotonic() - begun) / calls, 2),
        "of_it_processor_of_the_driver_ms": round(1000 * (time.process_time() - used) / calls, 2),
        "wait_ms": {},
    }
    for pending in (100, 1000, 10_000):
        waiting = [actor.answer.remote(600) for _ in range(pending)]
        begun, looks = time.monotonic(), 5
        for _ in range(looks):
            ray.wait(waiting, num_returns=len(waiting), timeout=0)
        found["wait_ms"][str(pending)] = round(1000 * (time.monotonic() - begun) / looks, 2)
        ray.kill(actor)
        actor = ray.remote(Nobody).remote()
    ray.shutdown()
    return found


def simulate(workers: int, chunk: int, seconds: float, n: int = 50_000, seed: int = 0) -> dict[str, Any]:
    """A run of suite ``standard@1`` on `workers`: units of `seconds` on average, handed out by one driver.

    A unit's time is proportional to its samples, and varies by a factor of two either way.
    """
    suite = load_suite("standard@1")
    chunks, chance = -(-n // chunk), random.Random(seed)
    suite = replace(suite, chunk=chunk)
    lanes = all_lanes(suite, n)
    begun = time.process_time()
    schedule = Schedule(lanes, lambda lane: 1 if lane.attack is None else len(suite.grid))
    idle: list[Lane | None] = [None] * workers
    running: list[tuple[float, int, Any]] = []
    clock = free = busy = 0.0
    units = 0
    while not schedule.empty:
        while idle and (task := schedule.take(idle[-1])) is not None:
            idle.pop()
            free = max(free, clock) + DRIVER_SECONDS
            share = 0.01 if task.lane.attack is None else 1.0
            spent = share * seconds * chunk / 512 * chance.uniform(0.5, 1.5)
            heapq.heappush(running, (free + spent, units, task))
            busy += spent
            units += 1
        clock, _, task = heapq.heappop(running)
        schedule.finished(task)
        idle.append(task.lane)
    return {
        "workers": workers,
        "chunk": chunk,
        "lanes": len(lanes) - chunks,
        "units": units,
        "files": 2 * units,
        "hours_of_work": round(busy / 3600, 1),
        "minutes": round(clock / 60, 1),
        "workers_busy": round(busy / (clock * workers), 3),
        "driver_busy": round(units * DRIVER_SECONDS / clock, 3),
        "bookkeeping_us_for_each_unit": round(1e6 * (time.process_time() - begun) / units, 1),
    }


def speedup(n: int = 2048) -> dict[str, Any]:
    """Two workers against one, one thread each, from the first unit on; in turn, three times."""
    import ray

    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.environ.setdefault("RAY_worker_niceness", "0")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    rows = []
    for seed in range(3):
        seconds = {}
        for workers in (1, 2):
            model, suite, data = case(n=n, chunk=32, attacks=(PGD,), width=400)

            class Clock(Silent):
                first = 0.0

                def finished(self, done: Done) -> None:
                    self.first = self.first or time.monotonic()

            clock = Clock()
            with tempfile.TemporaryDirectory() as folder:
                options = Options(
                    Path(folder), seed=seed, device="cpu", batch_size=32, precision="exact", executor="ray",
                    scale=Scale(workers),
                )  # fmt: skip
                evaluate(model, suite, data, options, clock)
                seconds[workers] = time.monotonic() - clock.first
        rows.append({"seconds": seconds, "speedup": round(seconds[1] / seconds[2], 2), "load": os.getloadavg()[0]})
        print(json.dumps(rows[-1]), flush=True)
    ray.shutdown()
    return {"rows": rows, "speedup": sorted(row["speedup"] for row in rows)[1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("memory", "overhead", "driver", "simulate", "speedup")
    parser.add_argument("parts", nargs="*", help=", ".join(parts))
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 50_000, 100_000])
    parser.add_argument("--one-size", type=int, help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(parts):
        parser.error(f"unknown part {min(unknown)!r}; there are {', '.join(parts)}")
    torch.set_num_threads(1)
    if arguments.one_size:
        print(json.dumps(one_size(arguments.one_size)))
        return
    report: dict[str, Any] = {"benchmark": "scale"}
    if arguments.output and arguments.output.exists():
        report |= json.loads(arguments.output.read_text())  # parts may be measured one at a time
    report |= {"device": device_name(torch.device("cpu")), "threads": 1, "versions": versions()}
    for part in arguments.parts:
        if part == "memory":
            report[part] = memory(arguments.sizes)
        elif part == "simulate":
            sizes = [(w, c, s) for s in (60.0, 5.0) for c in (512, 64, 8) for w in (8, 100, 1000, 10_000)]
            report[part] = [simulate(w, c, s) | {"seconds_for_512_samples": s} for w, c, s in sizes]
        else:
            report[part] = {"overhead": overhead, "driver": driver, "speedup": speedup}[part]()
        if part != "memory":
            print(json.dumps(report[part], indent=1), flush=True)
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
