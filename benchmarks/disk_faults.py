"""What disks do to the results of a run: files torn by a power loss, no room, no writing, all gone."""

from __future__ import annotations

import resource
import shutil
import subprocess
from pathlib import Path

from campaign import Campaign
from trials import REFUSED, Row, begin, fork, shards, start, wait

from harness.run.job import Run


def mount(results: Path, options: str) -> bool:
    """Put a file system in memory over `results`; whether that is possible here."""
    words = ["mount", "-t", "tmpfs", "-o", options, "toy", str(results)]
    return subprocess.run(words, capture_output=True).returncode == 0


def unmount(results: Path) -> None:
    subprocess.run(["umount", "-l", str(results)], check=True)


def refused(row: Row, code: int) -> None:
    """The run was done, or had to end with one line."""
    if code not in (0, REFUSED):
        row.unexpected.append(f"ended with {code} instead of one line")


def power_loss(campaign: Campaign, trials: int) -> None:
    """SIGKILL, then a file of the run is cut short or zeroed, as file systems do that lie about fsync."""
    row = campaign.row("power loss: torn file")
    for _ in range(trials):
        results = campaign.folder()
        campaign.kill(begin(results))
        before = shards(results)
        files = [path for path in results.glob("[!.]*/**/*") if path.suffix in (".parquet", ".json")]
        torn = 0
        if files:
            path = campaign.chance.choice(files)
            content = path.read_bytes()
            cut = campaign.chance.randrange(len(content)) if content else 0
            path.write_bytes(content[:cut] + (bytes(len(content) - cut) if campaign.chance.random() < 0.5 else b""))
            torn = path.suffix == ".parquet"
        campaign.finish(row, results, before, torn=torn)


def disk_full(campaign: Campaign, trials: int) -> None:
    """No file may grow beyond a random size, or the whole file system is tiny; then there is room again."""
    row = campaign.row("disk full")
    for trial in range(trials):
        results = campaign.folder()
        mounted = trial % 2 == 0 and mount(results, f"size={campaign.chance.choice([16, 32, 64, 128])}k")
        limit = campaign.chance.randint(100, 8000)

        def limited(results: Path = results, limit: int = limit, mounted: bool = mounted) -> Run:
            if not mounted:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            return start(results)

        refused(row, wait(fork(limited)))
        before = shards(results)
        if mounted:
            subprocess.run(["mount", "-o", "remount,size=64m", str(results)], check=True)
        campaign.finish(row, results, before)
        if mounted:
            unmount(results)


def read_only(campaign: Campaign, trials: int) -> None:
    """The file system of the results turns read-only in the middle."""
    row = campaign.row("folder turns read-only")
    for _ in range(trials):
        results = campaign.folder()
        if not mount(results, "size=64m"):
            campaign.rows.remove(row)
            return
        child = begin(results)
        campaign.pause(child)
        for _attempt in range(200):  # busy while a file is open for writing
            if subprocess.run(["mount", "-o", "remount,ro", str(results)], capture_output=True).returncode == 0:
                break
        refused(row, wait(child))
        refused(row, wait(begin(results)))
        before = shards(results)
        subprocess.run(["mount", "-o", "remount,rw", str(results)], check=True)
        campaign.finish(row, results, before)
        unmount(results)


def vanishing(campaign: Campaign, trials: int) -> None:
    """The run's folder is removed in the middle: what was in it is gone, the run must not claim to be complete."""
    row = campaign.row("results folder vanishes")
    for _ in range(trials):
        results = campaign.folder()
        child = begin(results)
        campaign.pause(child)
        for path in results.iterdir():
            shutil.rmtree(path, ignore_errors=True)
        refused(row, wait(child))
        campaign.finish(row, results, {})
