"""The section of the performance page on networks of common shapes."""

from __future__ import annotations

import math
from typing import Any

from page_text import conditions, plan, table

BARE = {"torchattacks": "torchattacks.PGD", "art": "ART's PGD", "autoattack": "pyautoattack"}
WORDS = """One epsilon, PGD-20 (AutoAttack: version standard), on signs in the network's shape, labeled by the network
itself: first at an epsilon at which hardly a sample breaks, which is the worst case for the harness, for nothing can be
left out; then at one at which nearly all do. Times as fast as the tool alone, whole runs; *robust* is harness /
bare."""


def shapes(results: list[dict[str, Any]]) -> list[str]:
    """The harness against bare tools, where hardly a sample breaks and where nearly all do."""
    mine = [one for one in results if one["benchmark"] == "shapes"]
    if not mine:
        return []
    found = {(row["shape"], row["tool"], row["state"]): row for one in mine for row in one["rows"]}
    rows = []
    for shape, tool, state in found:
        if state != "survive":
            continue
        alive, broken = found[shape, tool, "survive"], found[shape, tool, "break"]
        rows.append((shape, BARE[tool], alive["n"], _fast(alive), _fast(broken), _robust(alive), plan(alive)))
    header = ("network", "against", "n", "hardly any breaks", "nearly all break", "robust, %", "attacked copy")
    return ["## Networks of other shapes", WORDS, table(header, rows), _mean(found), conditions(mine[0])]


def _fast(row: dict[str, Any]) -> str:
    return f"**{row['speedup']:.2f}**"


def _robust(row: dict[str, Any]) -> str:
    return f"{100 * row['robust']['harness']:.1f} / {100 * row['robust']['bare']:.1f}"


def _mean(found: dict[tuple[str, str, str], dict[str, Any]]) -> str:
    speeds = [row["speedup"] for (_, tool, state), row in found.items() if (tool, state) == ("torchattacks", "survive")]
    mean = math.exp(sum(map(math.log, speeds)) / len(speeds))
    return f"Against torchattacks, where hardly a sample breaks: geometric mean {mean:.2f}."
