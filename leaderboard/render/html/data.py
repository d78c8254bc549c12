"""What the page's script needs, as compact JSON-able data: numbers for the charts, in percent, by place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from harness.base.text import whole_number
from leaderboard import wording
from leaderboard.figures.curves import security_panels, step_panels
from leaderboard.figures.plots import Panel
from leaderboard.rows import Difference, Row, Table
from leaderboard.tables.danger import KNOWN, danger
from leaderboard.text import one_line

ModelKey = tuple[str, str]
"""Name and weights: what has a page of its own."""


PERCENT = 100
"""What shares of the image are multiplied by on an axis."""
DRAWN = 300
"""Pairs of classes in a chart of confusions at most; a class is confused with few others often."""
DANGERS = ((0, ""), *sorted({danger(sign, other) for sign in KNOWN for other in KNOWN if sign != other}))
"""All dangers there are, with what the driver does; charts name them by number."""


def model_keys(tables: Sequence[Table]) -> dict[ModelKey, int]:
    """A number for every model, by first appearance; it names the model's page and gives its color."""
    found: dict[ModelKey, int] = {}
    for table in tables:
        for row in table.rows:
            found.setdefault((row.model, row.weights), len(found))
    return found


def table_data(table: Table, numbers: Mapping[ModelKey, int]) -> dict[str, Any]:
    """Curves, curves over steps and paired differences of one table."""
    places = {row.label: numbers[row.model, row.weights] for row in table.rows}
    steps = step_panels(table)
    curves = [] if steps and len(table.grid) == 1 else security_panels(table)
    return {
        "names": [one_line(name) for name in table.classes],
        "rows": [[one_line(row.label), numbers[row.model, row.weights]] for row in table.rows],
        "curves": [_panel(panel, places) for panel in curves],
        "steps": [_panel(panel, places) for panel in steps],
        "pairs": [
            {"a": pair.a, "b": pair.b, "twins": pair.twins, "cells": [_difference(table, cell) for cell in pair.cells]}
            for pair in table.pairs
        ],
    }


def run_data(row: Row, grid: Sequence[str]) -> dict[str, Any]:
    """Classes and confusions of one row."""
    return {
        "grid": list(grid),
        "classes": [[one_line(c.name), c.n, c.clean, list(c.worst)] for c in row.detail.classes],
        "confusions": [_drawn(row, label) for label in grid],
    }


def _drawn(row: Row, label: str) -> list[int]:
    """Sign, read as, images, and the number of the danger, pair after pair; the most frequent at one epsilon."""
    here = sorted((c for c in row.detail.confusions if c.epsilon_label == label), key=lambda c: -c.count)
    return [n for c in here[:DRAWN] for n in (c.label, c.read_as, c.count, DANGERS.index((c.danger, c.why)))]


def _panel(panel: Panel, places: Mapping[str, int]) -> dict[str, Any]:
    factor = _denominator(panel)
    return {
        "title": one_line(panel.title),
        "xlabel": one_line(panel.xlabel + (", %" if factor == PERCENT else "")),
        "ticks": [_number(x * factor) for x in panel.ticks],
        "lines": [
            [
                one_line(curve.label),
                places[curve.label],
                [[_number(p.x * factor), _share(p.accuracy), _share(p.low), _share(p.high)] for p in curve.points],
            ]
            for curve in panel.curves
        ],
    }


def _denominator(panel: Panel) -> int:
    """255 if the axis counts in 1/255, and 100 if its ticks are percentages."""
    if any(tick.endswith("%") for tick in panel.ticks.values()):
        return PERCENT
    _, found, below = panel.xlabel.rpartition("in 1/")
    return (whole_number(below) if found else None) or 1


def _difference(table: Table, cell: Difference) -> list[Any]:
    low, high = cell.ci95
    points = [_number(100 * value) for value in (cell.difference, low, high)]
    p = float(f"{cell.p_holm:.3g}")
    return [
        one_line(wording.cell_name(table, cell)),
        *points,
        cell.only_a,
        cell.only_b,
        p,
        "yes" if cell.significant else "no",
        cell.needed,
    ]


def _share(value: float) -> float | None:
    return None if math.isnan(value) else _number(100 * value)


def _number(value: float) -> float | int:
    rounded = round(value, 4)
    return int(rounded) if rounded == int(rounded) else rounded


def titles_and_tables(tables: Sequence[Table]) -> list[tuple[str, Table]]:
    """Each table with its heading."""
    return list(zip((one_line(title, 300) for title in wording.titles(tables)), tables, strict=True))
