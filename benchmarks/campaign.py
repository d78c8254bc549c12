"""A campaign of `faults.py`: makes trials, judges what comes out of them, and keeps the table."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import tempfile
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from trials import Row, by_heart, contents, fork, run_in, shards, start, wait

from harness.base.machine import versions
from harness.errors import HarnessError


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
