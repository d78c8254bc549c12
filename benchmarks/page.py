"""Writes ``docs/performance.md`` from ``benchmarks/results``: ``python benchmarks/page.py``; a test compares."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "performance.md"

KINDS = ("sweep", "bisection", "faithful", "autoattack", "art-pgd", "art-pgd-batch", "limit", "proposer")
MODES = ("observed", "bisection")
TOOLS = {
    "autoattack": "AutoAttack standard, pyautoattack bare",
    "art-pgd": "PGD-20, ART as documented (batch 32)",
    "art-pgd-batch": "PGD-20, ART at the same batch",
}
HEAD = """# Performance

Drawn by `python benchmarks/page.py` from the files in [`benchmarks/results`](../benchmarks/results); `make bench`
measures again. Every comparison runs in one process, harness and bare tool in turn, on the same samples and batch, and
compares a whole run of the harness (preflight, calibration in the first round, storage of facts and witnesses) with the
tool's bare loop, its clean and robust forwards included. Ratios are medians over the rounds. On a processor they are
ratios of processor time with one BLAS thread, because the machine may be shared; *load* is the system's load average at
the end, and with a load above the number of cores single figures wander by a tenth or more. Preflight and calibration
cost the same for every n, so they weigh most where n is small. No GPU was measured.

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


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def conditions(one: dict[str, Any]) -> str:
    """Where and on what: one line under a table."""
    versions = ", ".join(
        f"{name} {one['versions'][name]}" for name in ("torch", "torchattacks") if name in one["versions"]
    )
    return f"{one['device']}, {one['threads']} thread(s), {one['clock']} time, load {one['load']}; {versions}"


def plan(one: dict[str, Any]) -> str:
    """How the attacked copy was prepared."""
    found = one["plan"]
    words = [*found["speedups"], "channels last" if found["channels_last"] else "", found["precision"]]
    return ", ".join(word for word in words if word)


def halved(one: dict[str, Any]) -> str:
    """Of a sweep in mode bisection, that it is."""
    return ", `--bisect`" if one.get("mode") == "bisection" else ""


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def sweeps(results: list[dict[str, Any]]) -> list[str]:
    """PGD over epsilon grids."""
    mine = [one for one in results if one["benchmark"] == "sweep"]
    if not mine:
        return []
    parts = ["## PGD over an epsilon grid, against a loop over torchattacks.PGD"]
    rows = []
    for one in mine:
        bare = statistics.median(row["bare_s"] for row in one["rows"])
        ours = statistics.median(row["harness_s"] for row in one["rows"])
        work = f"PGD-{one['steps']} x {len(one['grid'])} epsilons up to {one['grid'][-1]}{halved(one)}"
        rows.append(
            (
                f"`{one['model']}`",
                work,
                one["n"],
                len(one["rows"]),
                f"{bare:.1f}",
                f"{ours:.1f}",
                f"**{one['speedup']:.2f}**",
                f"{statistics.median(row['bare_backwards'] / row['backwards'] for row in one['rows']):.2f}",
                plan(one),
            )
        )
    header = ("model", "work", "n", "rounds", "bare, s", "harness, s", "times as fast", "times fewer gradients")
    parts.append(table((*header, "attacked copy"), rows))
    parts.append(
        "*Times fewer gradients* is what early exit and inheritance save, whatever the speed of a gradient; the rest is"
        " the prepared copy, less preflight, calibration, confirmation by the float32 model and storage."
    )
    parts.append("Robust accuracy, %, and the samples that only one of the two breaks, all rounds together:")
    rows = []
    for one in mine:
        for label in one["grid"]:
            cells = [row["cells"][label] for row in one["rows"]]
            rows.append(
                (
                    f"`{one['model']}`, PGD-{one['steps']}, {one['plan']['precision']}{halved(one)}",
                    label,
                    percent(statistics.mean(cell["harness"] for cell in cells)),
                    percent(statistics.mean(cell["bare"] for cell in cells)),
                    sum(cell["only_harness_breaks"] for cell in cells),
                    sum(cell["only_bare_breaks"] for cell in cells),
                    one["n"] * len(cells),
                )
            )
    parts.append(table(("run", "epsilon", "harness", "bare", "only harness breaks", "only bare breaks", "of"), rows))
    return [*parts, conditions(mine[0])]


def ceilings(results: list[dict[str, Any]]) -> list[str]:
    """What stands between a sweep and more: the gradients that are left, and how fast the machine can do one."""
    limits = [one["gradients_per_second"] for one in results if one["benchmark"] == "limit"]
    mine = [one for one in results if one["benchmark"] == "sweep"]
    if not limits or not mine:
        return []
    best = {name: max(speeds.values()) for name, speeds in limits[0].items()}
    own = best["the model itself"]
    rows = []
    for one in mine:
        precision = one["plan"]["precision"]
        faster = max(speed for name, speed in best.items() if name.endswith(precision)) / own
        fewer = statistics.median(row["bare_backwards"] / row["backwards"] for row in one["rows"])
        work = f"PGD-{one['steps']} x {len(one['grid'])}, {precision}{halved(one)}"
        figures = [f"{value:.2f}" for value in (fewer, faster, fewer * faster, one["speedup"])]
        rows.append((f"`{one['model']}`", work, *figures, percent(one["speedup"] / fewer / faster)))
    faster = max(speed for name, speed in best.items() if name.endswith("float32")) / own
    for one in results:
        if one["benchmark"] in TOOLS:
            fewer = one["bare"]["backwards"] / one["harness"]["backwards"]
            figures = [f"{value:.2f}" for value in (fewer, faster, fewer * faster, one["speedup"])]
            share = percent(one["speedup"] / fewer / faster)
            rows.append((f"`{one['model']}`", TOOLS[one["benchmark"]], *figures, share))
    header = ("model", "work", "times fewer gradients", "times as fast a gradient", "product", "measured", "of it, %")
    return [
        "## What stands in the way of more",
        "Every gradient that is left belongs to a sample that nothing has broken yet, so a robust model leaves most of"
        " them. With each at the machine's best speed (the limit below, of one network of this architecture), a sweep"
        " could be *product* times as fast as the bare loop. The rest goes to preflight, calibration, the float32"
        " model's confirmation of what a copy finds, small batches of the last survivors, and storage.",
        table(header, rows),
    ]


def bisections(results: list[dict[str, Any]]) -> list[str]:
    """What halving the grid saves and loses."""
    mine = [one for one in results if one["benchmark"] == "bisection"]
    if not mine:
        return []
    rows, lost = [], []
    for one in mine:
        work = f"PGD-{one['steps']} x {len(one['grid'])} epsilons up to {one['grid'][-1]}"
        spent = {mode: statistics.median(row["seconds"][mode] for row in one["rows"]) for mode in MODES}
        backwards = {mode: statistics.median(row["backwards"][mode] for row in one["rows"]) for mode in MODES}
        fewer = f"{backwards['bisection']:,.0f} / {backwards['observed']:,.0f}"
        seconds = [f"{spent[mode]:.1f}" for mode in MODES]
        rows.append(
            (f"`{one['model']}`", work, one["n"], len(one["rows"]), *seconds, f"**{one['speedup']:.2f}**", fewer)
        )
        for label in one["grid"]:
            of = [row["cells"][label] for row in one["rows"]]
            accuracies = [percent(statistics.mean(cell[mode] for cell in of)) for mode in MODES]
            alone = [sum(cell[f"only_{mode}_breaks"] for cell in of) for mode in MODES]
            lost.append((f"`{one['model']}`", label, *accuracies, *alone, one["n"] * len(of)))
    header = ("model", "work", "n", "rounds", "observed, s", "bisection, s", "times as fast", "backwards")
    told = ("model", "epsilon", "observed", "bisection", "only observed breaks", "only bisection breaks", "of")
    return [
        "## Mode bisection, against mode observed",
        "The grid is halved for each sample (`--bisect`) instead of climbed. Backwards: bisection / observed.",
        table(header, rows),
        "Robust accuracy, %, and the samples that only one of the two breaks, all rounds together:",
        table(told, lost),
        conditions(mine[0]),
    ]


def faithful(results: list[dict[str, Any]]) -> list[str]:
    """What mode faithful adds."""
    mine = [one for one in results if one["benchmark"] == "faithful"]
    if not mine:
        return []
    rows = []
    for one in mine:
        over = statistics.median(row["harness_s"] / row["bare_s"] - 1 for row in one["rows"])
        work = f"PGD-{one['steps']} at {', '.join(one['grid'])}"
        rows.append((f"`{one['model']}`", work, one["n"], len(one["rows"]), f"{100 * over:+.1f} %"))
    text = (
        "In mode `faithful` the tool does all its work, so what the harness adds is overhead: judging, storage, and the"
        " preflight, which costs the same for every n."
    )
    return [
        "## Mode faithful, against the tool bare",
        text,
        table(("model", "work", "n", "rounds", "more time"), rows),
        conditions(mine[0]),
    ]


def tools(results: list[dict[str, Any]]) -> list[str]:
    """AutoAttack and ART."""
    mine = [one for one in results if one["benchmark"] in TOOLS]
    if not mine:
        return []
    rows = [
        (
            f"`{one['model']}`",
            TOOLS[one["benchmark"]],
            one["epsilon"],
            one["n"],
            f"{one['bare']['seconds']:.1f}",
            f"{one['harness']['seconds']:.1f}",
            f"**{one['speedup']:.2f}**",
            f"{percent(one['harness']['robust_accuracy'])} / {percent(one['bare']['robust_accuracy'])}",
            f"{one['harness']['backwards']:,} / {one['bare']['backwards']:,}",
        )
        for one in mine
    ]
    header = (
        "model",
        "work",
        "epsilon",
        "n",
        "bare, s",
        "harness, s",
        "times as fast",
        "robust, % (harness / bare)",
        "fewer backwards",
    )
    note = "Robust accuracy and backward passes: harness / bare."
    return ["## AutoAttack and ART, one epsilon", table(header, rows), note, conditions(mine[0])]


def limits(results: list[dict[str, Any]]) -> list[str]:
    """The bare limit."""
    mine = [one for one in results if one["benchmark"] == "limit"]
    parts = []
    for one in mine:
        found = one["gradients_per_second"]
        sizes = list(next(iter(found.values())))
        rows = [(name, *(f"{speed:,.0f}" for speed in by.values())) for name, by in found.items()]
        parts += [
            f"## The bare limit, `{one['model']}`",
            "Input gradients a second of a bare loop of forward and backward, by batch size:",
            table(("network", *sizes), rows),
            "Useful gradients a second of the attack units of a PGD-20 run at 2/255, and their share of the fastest"
            " loop of the same network:",
            table(
                ("precision", "attacked copy", "useful gradients a second", "useful, % of all", "of the limit, %"),
                [
                    (
                        name,
                        share["recipe"],
                        f"{share['useful_per_second']:,.0f}",
                        percent(share["useful_gradients"]),
                        percent(share["of_limit"]),
                    )
                    for name, share in one["harness"].items()
                ],
            ),
            conditions(one),
        ]
    return parts


def proposers(results: list[dict[str, Any]]) -> list[str]:
    """May bfloat16 propose?"""
    parts = [
        "## bfloat16 as proposer",
        "`--precision bf16` attacks a bfloat16 copy; the float32 model confirms every witness, and samples whose"
        " proposals it does not confirm are attacked again in float32. It is off by default: a passed test of"
        " non-inferiority would switch it on (`benchmarks/proposer.py`: upper 95 % bound of its robust accuracy minus"
        " float32's below 0.3 points at every epsilon, on at least 2,000 samples and 3 seeds).",
    ]
    mine = [one for one in results if one["benchmark"] == "proposer"]
    for one in mine:
        verdict = "passed" if one["passed"] else "not passed" if one["enough"] else "too few samples or seeds to decide"
        parts += [
            f"`{one['model']}` on {one['data']}, n = {one['n']}, {one['seeds']} seed(s): **{verdict}**;"
            f" {one['unconfirmed']} proposals not confirmed, {one['again']} samples attacked again.",
            table(
                (
                    "attack",
                    "epsilon",
                    "float32, %",
                    "bf16, %",
                    "only float32 breaks",
                    "only bf16 breaks",
                    "upper bound, points",
                ),
                [
                    (
                        cell["attack"],
                        cell["epsilon_label"],
                        percent(cell["float32"]),
                        percent(cell["bf16"]),
                        cell["only_float32_breaks"],
                        cell["only_bf16_breaks"],
                        f"{100 * cell['upper_95']:+.2f}",
                    )
                    for cell in one["cells"]
                ],
            ),
            conditions(one),
        ]
    if not mine:
        parts.append("The test has not been run to its end yet.")
    return parts


def page(results: list[dict[str, Any]]) -> str:
    """The whole page."""
    parts = [HEAD.rstrip()]
    for section in (sweeps, ceilings, bisections, tools, faithful, limits, proposers):
        parts += section(results)
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(load()), encoding="utf-8")
