"""SIGKILL to the Ray workers of a run, in a process of its own: `faults.py --ray-part` calls it."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
from trials import Row, contents, parents, shards, start

from harness.measure.executors.ray import ATTEMPTS


def worker_kills(top: Path, whole: tuple[pa.Table, pa.Table], kills: int, seed: int) -> None:
    """SIGKILL to random Ray workers while they compute; the driver has to finish by itself. Writes its row."""
    import ray

    row, chance = Row("kill -9 of a worker", "ray"), random.Random(seed)
    os.environ.setdefault("RAY_worker_niceness", "0")
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
        repeated = sum("ran again" in found.message for found in run.info.findings if found.check == "died")
        row.again = max(row.again, -(-repeated // max(1, len(killed))))
        (top / "ray.json").write_text(json.dumps(asdict(row)))
    ray.shutdown()
