"""How fast the machine is at most, what of it is used, accuracies at every epsilon; on the page, bfloat16 alone."""

from __future__ import annotations

import statistics
from typing import Any

from page_speed import MODES, run
from page_text import TOOLS, conditions, halved, percent, table


def every_epsilon(results: list[dict[str, Any]]) -> list[str]:
    """Robust accuracy at every epsilon, and what only one of two ways breaks, all rounds together."""
    parts = []
    for kind, sides in (("sweep", ("harness", "bare")), ("bisection", MODES)):
        rows = []
        for one in results:
            if one["benchmark"] == kind:
                # A run that compares two modes has no plan of its own.
                name = run(one) if kind == "sweep" else f"`{one['model']}`, PGD-{one['steps']} x {len(one['grid'])}"
                for label in one["grid"]:
                    cells = [row["cells"][label] for row in one["rows"]]
                    accuracies = [percent(statistics.mean(cell[side] for cell in cells)) for side in sides]
                    alone = [sum(cell[f"only_{side}_breaks"] for cell in cells) for side in sides]
                    rows.append((name, label, *accuracies, *alone, one["n"] * len(cells)))
        if rows:
            told = [f"only {side} breaks" for side in sides]
            parts += [
                f"## Robust accuracy, %: {' and '.join(sides)}",
                table(("run", "epsilon", *sides, *told, "of"), rows),
            ]
    return parts


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
