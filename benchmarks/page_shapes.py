"""The section of the performance page on networks of common shapes."""

from __future__ import annotations

import math
from typing import Any

from page_text import conditions, plan, table

BARE = {
    "torchattacks": "torchattacks.PGD",
    "art": "ART's PGD",
    "attackbench": "torchattacks.PGD in attackbenchlib",
    "autoattack": "AutoAttack",
}
PACKAGES = ("torch", "torchattacks", "adversarial-robustness-toolbox", "attackbenchlib", "pyautoattack")
WORDS = """One epsilon, PGD-20 (AutoAttack: version standard, by pyautoattack), on signs in the network's shape, labeled
by the network itself: first at an epsilon at which hardly a sample breaks, which is the worst case for the harness, for
nothing can be left out; then, behind the stroke, at one at which nearly all do. Times as fast as the tool alone, whole
runs. attackbenchlib judges every query, too; it runs at its own batch of 128."""
IN_THE_WAY = """The machine was busy: in 41 of 48 series the second and third round lie within 10 % of each other, in
the others up to 22 % apart, so small differences say nothing. In the row of the zoo's ResNet-18 the calibration
before ART's first round kept the model itself; a preparation was measured for up to half a second then, and is for a
second now. attackbenchlib and AutoAttack had two rounds, one of them with calibration.

What stands in the way of more, by profile (`python benchmarks/shapes.py --shape SHAPE --against TOOL --state survive
--profile`):

- MLP, n = 8,192: a backward pass of a batch takes 2 ms. The harness took 7.0 s under the profiler, the bare loop 3.8
  s. Of the difference, 0.6 s go to images that the network misreads by no more than rounding (at this epsilon they
  are what breaks): they are shown to the model again in every step; 0.4 s to torch's stack traces
  when it is seeded, which are gone since; 0.2 s to counting gradients that are zero; 1.2 s to reading, clean forwards
  and storage; 0.4 s to the start.
- ViT, n = 128: not profiled. The calibration kept the model itself against torchattacks, packed weights against ART.
- PGD on the zoo's ResNet-18, n = 256, all standing: of 7.7 s of the attack under the profiler 7.6 are passes of the
  copy (3.0 forward, 4.6 backward), so only a faster copy makes it faster; 2.3 s are the checks of the model (0.7),
  clean forwards, confirmation, storage and the start.
- AutoAttack on the MNIST CNN, 64 samples of which hardly any breaks: the tool alone takes 35.2 s under the profiler,
  20.2 s of them in passes through the network; the rest is its own: 7.2 s of projections in FAB, and what FAB, Square
  and APGD do between two passes. To be 1.2 times as fast, the goal, the passes would have to be 1.4 times as fast and
  judging free. The harness took 40.5 s (before the seeding above), 1.8 s of them for judging; the passes of its copy
  took 20.7 s and were no faster than the model's.
- AutoAttack on the zoo's ResNet-18, 8 samples that all stand: 175 s bare, 125 s in the harness under the profiler
  (1.43 times as fast without it, one round): passes 134 and 88 s, the rest is the tool's."""
Rows = dict[tuple[str, str, str], dict[str, Any]]


def shapes(results: list[dict[str, Any]]) -> list[str]:
    """The harness against bare tools, where hardly a sample breaks and where nearly all do."""
    mine = [one for one in results if one["benchmark"] == "shapes"]
    if not mine:
        return []
    found = {(row["shape"], row["tool"], row["state"]): row for one in mine for row in one["rows"]}
    tools = [tool for tool in BARE if any(key[1] == tool for key in found)]
    rows = []
    for shape in dict.fromkeys(shape for shape, _, _ in found):
        first = next(row for key, row in found.items() if key[0] == shape)
        rows.append((shape, *(_cell(found, shape, tool) for tool in tools), plan(first)))
    header = ("network", *(BARE[tool] for tool in tools), "attacked copy")
    told = [
        f"{_mean(found)} {_apart(found)}",
        *(f"{_what(one, len(rows))}: {conditions(one, PACKAGES)}" for one in mine),
    ]
    return ["## Networks of other shapes", WORDS, table(header, rows), *told, IN_THE_WAY]


def _cell(found: Rows, shape: str, tool: str) -> str:
    """Both ratios, and on how many samples."""
    rows = [found.get((shape, tool, state)) for state in ("survive", "break")]
    if rows[0] is None:
        return "-"
    speeds = " / ".join("-" if row is None else f"**{row['speedup']:.2f}**" for row in rows)
    return f"{speeds} (n = {rows[0]['n']})"


def _what(one: dict[str, Any], shapes: int) -> str:
    """Against what a file measures, and which networks if not all."""
    tools = ", ".join(BARE[tool] for tool in dict.fromkeys(row["tool"] for row in one["rows"]))
    names = list(dict.fromkeys(row["shape"] for row in one["rows"]))
    return tools if len(names) == shapes else f"{tools} ({'; '.join(names)})"


def _mean(found: Rows) -> str:
    speeds = [row["speedup"] for (_, tool, state), row in found.items() if (tool, state) == ("torchattacks", "survive")]
    mean = math.exp(sum(map(math.log, speeds)) / len(speeds))
    return f"Against torchattacks, where hardly a sample breaks: geometric mean {mean:.2f}."


def _apart(found: Rows) -> str:
    """How far robust accuracies lie apart."""
    apart = max(abs(row["robust"]["harness"] - row["robust"]["bare"]) for row in found.values())
    return f"Robust accuracies of harness and tool differ by {100 * apart:.1f} points at most."
