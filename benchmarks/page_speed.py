"""Sections of the performance page: the harness against the bare tools, and its modes against each other."""

from __future__ import annotations

import statistics
from typing import Any

from page_text import TOOLS, conditions, halved, percent, plan, table

MODES = ("observed", "bisection")
LOST = "Robust accuracy, and how often only one of the two breaks a sample, all epsilons and rounds together:"
DIFFERENCE = ("run", "harness - bare where it differs most, points", "only harness breaks", "only bare breaks", "of")


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
    parts.append(LOST)
    parts.append(table(DIFFERENCE, [strength(run(one), one, ("harness", "bare")) for one in mine]))
    return [*parts, conditions(mine[0])]


def run(one: dict[str, Any]) -> str:
    """What a sweep was, in words."""
    return f"`{one['model']}`, PGD-{one['steps']} x {len(one['grid'])}, {one['plan']['precision']}{halved(one)}"


def strength(name: str, one: dict[str, Any], sides: tuple[str, str]) -> tuple[object, ...]:
    """How two ways differ: the largest difference of accuracy at one epsilon, and what only one of them breaks."""
    first, second = sides
    at = {}
    for label in one["grid"]:
        cells = [row["cells"][label] for row in one["rows"]]
        at[label] = 100 * statistics.mean(cell[first] - cell[second] for cell in cells)
    worst = max(at, key=lambda label: abs(at[label]))
    every = [cell for row in one["rows"] for cell in row["cells"].values()]
    alone = [sum(cell[f"only_{side}_breaks"] for cell in every) for side in sides]
    return name, f"{at[worst]:+.1f} at {worst}" if at[worst] else "none", *alone, one["n"] * len(every)


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
        lost.append(strength(f"`{one['model']}`, {work}", one, ("bisection", "observed")))
    header = ("model", "work", "n", "rounds", "observed, s", "bisection, s", "times as fast", "backwards")
    most = "bisection - observed where it differs most, points"
    told = ("run", most, "only bisection breaks", "only observed breaks", "of")
    return [
        "## Mode bisection, against mode observed",
        "The grid is halved for each sample (`--bisect`) instead of climbed. Backwards: bisection / observed.",
        table(header, rows),
        LOST,
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
        " preflight, which costs the same for every n. By profile, on the zoo's ResNet-18 with 512 samples that stand"
        ' (`python benchmarks/shapes.py --shape "ResNet-18, zoo" --state survive -n 512 --rounds 2 --mode faithful'
        " --profile`), the attack took 17.4 s in the harness and 17.9 s bare, and 1.3 s are the start and the model's"
        " checks; the two rounds came to 6.9 and 2.5 % more time, calibration in the first."
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
