"""What else befalls a run on its host: a second start, another clock, Ctrl-C, too little memory."""

from __future__ import annotations

import os
import resource
import signal
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from campaign import Campaign
from toy import PGD
from trials import REFUSED, STOPPED, begin, contents, fork, run_in, shards, start, wait

from harness.evidence.store import RunStore
from harness.run.job import Run


def two_processes(campaign: Campaign, trials: int) -> None:
    """Two starts of one run at the same time: one measures, the other is told."""
    row = campaign.row("two processes on one run")
    for _ in range(trials):
        results = campaign.folder()
        first = begin(results)
        time.sleep(campaign.chance.uniform(0, 0.5 * campaign.seconds))
        second = begin(results)
        codes = sorted([wait(first), wait(second)])
        if codes not in ([0, REFUSED], [0, 0]):  # both, if the first was done already
            row.unexpected.append(f"ended with {codes}")
        campaign.finish(row, results, shards(results))


def clock(campaign: Campaign, trials: int) -> None:
    """The clock runs backwards, and files come from the future."""
    row = campaign.row("clock goes backwards")
    for _ in range(trials):
        results = campaign.folder()

        def backwards(results: Path = results) -> Run:
            import harness.measure.worker
            import harness.run.job

            ticks = iter(range(10**6))
            for module in (harness.run.job, harness.measure.worker):
                module.now = lambda: f"20{40 - min(30, next(ticks)):02d}-01-01T00:00:00+00:00"  # type: ignore[attr-defined]
            time.time = lambda: 2e9 - 1e5 * next(ticks)
            return start(results, results / "attempts")

        campaign.kill(fork(backwards))
        for path in results.rglob("*"):
            os.utime(path, (4e9, 4e9))
        campaign.finish(row, results, shards(results), run=backwards)


def interrupted(campaign: Campaign, presses: int, trials: int, number: int = signal.SIGINT) -> None:
    """Ctrl-C (or SIGTERM) at a random moment, once or twice."""
    name = "SIGTERM" if number == signal.SIGTERM else f"Ctrl-C {'once' if presses == 1 else 'twice'}"
    row = campaign.row(name)
    for _ in range(trials):
        results = campaign.folder()
        child = begin(results)
        time.sleep(0.1 * campaign.seconds)
        campaign.pause(child)
        for _press in range(presses):
            with suppress(ProcessLookupError):
                os.kill(child, number)
            time.sleep(0.002)
        code = wait(child)
        if code not in (0, STOPPED):
            row.unexpected.append(f"ended with {code}")
        campaign.finish(row, results, shards(results))


def memory(campaign: Campaign, trials: int) -> None:
    """The host has too little memory for the batch: the run finishes, and says how often it went on with less.

    With so little, libraries below the harness may end the process instead (a segmentation fault in an allocator,
    the C library's exit code 127, a module that cannot be loaded). That is like a kill: the next start has to
    finish.
    """
    finished, ended = campaign.row("out of memory on the host"), campaign.row("out of memory ends the process")
    wide: dict[str, Any] = {"width": 3000, "attacks": (PGD,), "n": 16, "chunk": 16}
    for _ in range(trials):
        results, whole = campaign.folder(), campaign.folder()
        assert wait(fork(partial(start, whole, None, **wide))) == 0
        spare = campaign.chance.randint(24, 40) << 20

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
