"""Panels of curves from a table: accuracy against epsilon, one panel an attack, and against the number of steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from leaderboard import row_text, wording
from leaderboard.estimates import ESTIMATED
from leaderboard.figures.plots import Curve, Panel, Point
from leaderboard.rows import WORST, Column, Row, Score, Table

_STEPS = "steps"


def security_panels(table: Table, attacks: Sequence[str] = ()) -> list[Panel]:
    """Accuracy against epsilon from 0 (the clean accuracy): a panel for each attack, and one for the worst case.

    Args:
        table: The table.
        attacks: Ids to draw, ``worst`` among them; empty takes all, the worst case where it is not the one attack.
    """
    twice = table.worst_is_attack and WORST not in attacks
    shown = [column.attack for column in table.attacks] + ([] if twice else [WORST])
    panels = []
    for attack in shown:
        if attacks and attack not in attacks:
            continue
        curves = tuple(_curve(row, (row.clean, *_up(row, attack))) for row in table.rows)
        scores = table.rows[0].worst
        ticks, xlabel = epsilon_ticks([(0.0, "0"), *((score.epsilon, score.epsilon_label) for score in scores)])
        title = wording.column_name(table, attack)
        title += ", estimated" if any(curve.estimated for curve in curves) else ""
        ylabel = "accuracy, %" if table.threat == "corruption" else Panel.ylabel
        xlabel = wording.axis(table, xlabel)
        panels.append(Panel(title=title, xlabel=xlabel, curves=curves, ticks=ticks, ylabel=ylabel))
    return [panel for panel in panels if not panel.empty]


def step_panels(table: Table, attacks: Sequence[str] = ()) -> list[Panel]:
    """Accuracy against the number of steps: a panel for each epsilon, of attacks that differ in their steps alone.

    Args:
        table: The table.
        attacks: Ids to draw; empty takes all.
    """
    panels = []
    for family in step_families(column for column in table.attacks if not attacks or column.attack in attacks):
        steps = [float(column.params[_STEPS]) for column in family]
        for place, label in enumerate(table.grid):
            curves = []
            for row in table.rows:
                scores = [_up(row, column.attack)[place] for column in family]
                curves.append(_curve(row, scores, steps))
            title = f"{family[0].tool} {family[0].method} at {label}"
            ticks = {x: f"{x:g}" for x in steps}
            panels.append(Panel(title=title, xlabel=_STEPS, curves=tuple(curves), ticks=ticks, log=True))
    return [panel for panel in panels if not panel.empty]


def step_families(columns: Iterable[Column]) -> list[list[Column]]:
    """Attacks that are one method with different numbers of steps and else the same parameters, fewest steps first."""
    families: dict[tuple[object, ...], list[Column]] = {}
    for column in columns:
        steps = column.params.get(_STEPS)
        if isinstance(steps, int) and steps > 0:
            others = tuple(sorted((key, repr(value)) for key, value in column.params.items() if key != _STEPS))
            families.setdefault((column.tool, column.method, others), []).append(column)
    found = [sorted(family, key=lambda column: int(column.params[_STEPS])) for family in families.values()]
    return [family for family in found if len({column.params[_STEPS] for column in family}) > 1]


def epsilon_ticks(grid: Sequence[tuple[float, str]]) -> tuple[dict[float, str], str]:
    """What stands at each epsilon, and the axis's name: numerators alone where all labels share a denominator."""
    parts = [label.partition("/") for _, label in grid if label != "0"]
    if parts and all(slash and below == parts[0][2] for _, slash, below in parts):
        return {value: label.partition("/")[0] for value, label in grid}, f"epsilon, in 1/{parts[0][2]}"
    return dict(grid), "epsilon"


def caption(table: Table, title: str) -> str:
    """What stands under a figure of this table: what was measured, what the bands are, and which rows are marked."""
    bands = f"{title}, n = {wording.n_text(table)}. Bands: 95 % Wilson intervals over images."
    if any(score.status == ESTIMATED for row in table.rows for score in row.worst):
        bands += " Broken lines: estimates, with the interval for images of this kind."
    marks = row_text.marks_text([(row.label, row_text.errors(row.findings)) for row in table.rows])
    return f"{bands} {marks}".strip()


def _curve(row: Row, scores: Sequence[Score], xs: Sequence[float] | None = None) -> Curve:
    """The row's curve over these scores, at their epsilons or at `xs`."""
    places = xs if xs is not None else [score.epsilon for score in scores]
    points = tuple(_point(score, x) for score, x in zip(scores, places, strict=True))
    estimated = any(score.status == ESTIMATED for score in scores)
    return Curve(row.label, points, row_text.MARK if row_text.errors(row.findings) else "", estimated)


def _up(row: Row, attack: str) -> list[Score]:
    """The scores of an attack, or of the worst case, up the grid."""
    return [score for score in (row.worst if attack == WORST else row.cells) if score.attack == attack]


def _point(score: Score, x: float) -> Point:
    low, high = score.ci95 or (math.nan, math.nan)
    return Point(x, math.nan if score.accuracy is None else score.accuracy, low, high)
