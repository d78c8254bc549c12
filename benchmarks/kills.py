"""SIGKILL to runs of `faults.py`: at random moments, before steps of the store, to whole process trees."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

from campaign import Campaign
from trials import begin, descendants, fork, parents, shards, start, wait

from harness.run.job import Run

SCRIPT = Path(__file__).with_name("faults.py")


def random_kills(campaign: Campaign, kills: int) -> None:
    """SIGKILL at random moments; a run may be killed up to three times."""
    row, done = campaign.row("kill -9 at random moments"), 0
    while done < kills:
        results, here = campaign.folder(), 0
        before: dict[str, int] = {}
        for _ in range(campaign.chance.randint(1, min(3, kills - done))):
            here += campaign.kill(begin(results))
            before |= shards(results)
        campaign.finish(row, results, before, here)
        done += here


def kills_at_steps(campaign: Campaign, stride: int) -> None:
    """SIGKILL before a step of the store: each open, rename, removal in the results folder, every `stride`-th."""
    row, step = campaign.row("kill -9 before a step of the store"), 1
    while True:
        results = campaign.folder()
        code = wait(fork(partial(killed_at, step, results)))
        if code != -signal.SIGKILL:  # it has fewer steps
            if code != 0:
                row.unexpected.append(f"ended with {code}")
            shutil.rmtree(results)
            return
        campaign.finish(row, results, shards(results))
        step += stride


def killed_at(step: int, results: Path) -> Run:
    """A run that kills itself before its `step`-th step of the store."""
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


def lock_of_the_dead(campaign: Campaign, trials: int) -> None:
    """A killed process leaves a child behind: the lock must not live on in it."""
    row = campaign.row("owner of the lock killed, its child lives")
    for _ in range(trials):
        results = campaign.folder()
        note = results / "child"

        def with_child(results: Path = results, note: Path = note) -> Run:
            def spawn() -> None:
                time.sleep(0.3 * campaign.seconds)
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
            campaign.seconds *= 0.9
        campaign.finish(row, results, shards(results))
        if words:
            os.kill(int(words), signal.SIGKILL)


def whole_processes(campaign: Campaign, trials: int, executor: str) -> None:
    """A driver started by its command line is killed; a Ray driver's workers have to follow it."""
    row = campaign.row("kill -9 of the whole process", executor)
    for _ in range(trials):
        results = campaign.folder()
        words = [sys.executable, str(SCRIPT), "--start", str(results), "--executor", executor]
        child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        begun, wanted = time.monotonic(), campaign.chance.randrange(campaign.units)
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

        campaign.finish(row, results, before, run=again)
