"""Writes ``docs/performance.md`` from ``benchmarks/results``: ``python benchmarks/page.py``; a test compares.

``python benchmarks/page.py limits`` prints what the page leaves out: robust accuracies at every epsilon, how fast the
machine is at most, and what of that a sweep reaches.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from page_limits import ceilings, every_epsilon, limits, proposers
from page_shapes import shapes
from page_speed import bisections, faithful, sweeps, tools

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "performance.md"

Section = Callable[[list[dict[str, Any]]], list[str]]
KINDS = ("sweep", "bisection", "faithful", "autoattack", "art-pgd", "art-pgd-batch", "limit", "proposer", "shapes")
HEAD = """# Performance

Drawn by `python benchmarks/page.py` from the files in [`benchmarks/results`](../benchmarks/results); `make bench`
measures again. Every comparison runs in one process, harness and bare tool in turn, on the same samples and batch, and
compares a whole run of the harness (preflight, calibration in the first round, storage of facts and witnesses) with the
tool's bare loop, its clean and robust forwards included. Ratios are medians over the rounds. On a processor they are
ratios of processor time with one BLAS thread, because the machine may be shared; *load* is the system's load average at
the end, and with a load above the number of cores single figures wander by a tenth or more. Preflight and calibration
cost the same for every n, so they weigh most where n is small. `trades` is here the checkpoint that is now called
`trades-10` ([models](models.md)). No GPU was measured. Robust accuracies at every epsilon,
the bare limit of this machine (`benchmarks/limit.py`) and what of it a sweep reaches are printed by
`python benchmarks/page.py limits`.

## What saves the time

- A sample that is broken leaves the batch; `useful_gradients` of a cell says how many gradients came before that.
- What broke at a small epsilon is not attacked at a larger one.
- The attacked copy of the model is prepared for this machine (`plan` and `calibration` in run.json), the float32 model
  itself confirms every witness.
- Another run of the same results folder is asked first (`results/.units`).
- `--worst-case-only` does not attack what another attack of the suite broke.
- `--bisect` does not attack at an epsilon who survived a larger one; it is another mode, for it can lose strength.
"""


def load() -> list[dict[str, Any]]:
    """All results of speed, by file name; other benchmarks have pages of their own."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    return [one for one in found if one["benchmark"] in KINDS]


def page(results: list[dict[str, Any]]) -> str:
    """The whole page: what a user decides by."""
    return _joined([HEAD.rstrip()], results, (sweeps, shapes, bisections, tools, faithful, proposers))


def rest(results: list[dict[str, Any]]) -> str:
    """What whoever works on the speed reads besides."""
    return _joined([], results, (every_epsilon, ceilings, limits))


def _joined(parts: list[str], results: list[dict[str, Any]], sections: tuple[Section, ...]) -> str:
    return "\n\n".join([*parts, *(part for section in sections for part in section(results))]) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["limits"]:
        print(rest(load()), end="")
    else:
        PAGE.write_text(page(load()), encoding="utf-8")
