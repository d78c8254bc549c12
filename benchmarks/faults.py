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
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from campaign import Campaign
from disk_faults import disk_full, power_loss, read_only, vanishing
from host_faults import clock, interrupted, memory, two_processes
from kills import kills_at_steps, lock_of_the_dead, random_kills, whole_processes
from ray_workers import worker_kills
from trials import Row, contents, run_in, start

PARTS = ("kills", "steps", "faults", "processes", "workers")


def run(parts: Sequence[str], campaign: Campaign, arguments: argparse.Namespace) -> None:
    """All trials of the parts named."""
    trials = arguments.trials
    if "kills" in parts:
        random_kills(campaign, arguments.kills)
    if "steps" in parts:
        kills_at_steps(campaign, arguments.stride)
    if "faults" in parts:
        power_loss(campaign, trials)
        disk_full(campaign, trials)
        read_only(campaign, trials)
        vanishing(campaign, trials)
        two_processes(campaign, trials)
        lock_of_the_dead(campaign, trials)
        clock(campaign, trials)
        interrupted(campaign, 1, trials)
        interrupted(campaign, 2, trials)
        interrupted(campaign, 1, trials, signal.SIGTERM)
        memory(campaign, trials)
    if "processes" in parts:
        for executor in ("local", "ray"):
            whole_processes(campaign, arguments.driver_kills, executor)
    if "workers" in parts:
        words = [sys.executable, __file__, "--ray-part", str(campaign.top), "--seed", str(arguments.seed)]
        done = subprocess.run([*words, "--worker-kills", str(arguments.worker_kills)])
        note = campaign.top / "ray.json"
        row = campaign.add(Row(**json.loads(note.read_text())) if note.exists() else Row("kill -9 of a worker", "ray"))
        if done.returncode:
            row.unexpected.append(f"the driver ended with {done.returncode}")


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print the table."""
    print(f"{'fault':44} {'executor':8} trials survived lost different again")
    for row in rows:
        figures = (row[key] for key in ("trials", "survived", "lost", "different", "again"))
        print(
            f"{row['fault']:44} {row['executor']:8} {' '.join(f'{figure:6}' for figure in figures)}",
            *row["unexpected"][:1],
        )


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
    campaign = Campaign(arguments.seed, arguments.output)
    run(parts, campaign, arguments)
    report = campaign.report()
    shutil.rmtree(campaign.top, ignore_errors=True)
    show(report["rows"])
    campaign.save()


if __name__ == "__main__":
    main()
