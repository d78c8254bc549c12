"""Sections of the performance page: the harness against the bare tools, and its modes against each other."""

from __future__ import annotations

import statistics
from typing import Any

from page_text import TOOLS, conditions, halved, percent, plan, table

MODES = ("observed", "bisection")


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
    broken = []
    for one in mine:
        for label in one["grid"]:
            cells = [row["cells"][label] for row in one["rows"]]
            broken.append(
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
    parts.append(table(("run", "epsilon", "harness", "bare", "only harness breaks", "only bare breaks", "of"), broken))
    return [*parts, conditions(mine[0])]


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
