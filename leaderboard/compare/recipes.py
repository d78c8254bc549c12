"""Two recipes, each trained several times: the difference of their means, over training seeds and over images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.base.files import key_of
from harness.base.statistics import welch
from harness.errors import UnknownName, UsageError
from leaderboard import row_text, wording
from leaderboard.render.markdown import escape, grid
from leaderboard.rows import Table
from leaderboard.runs.record import Place, Record
from leaderboard.tables.paired import places
from leaderboard.tables.statistics import paired_bootstrap
from leaderboard.tables.tables import choose, grouped, make_tables, row_key, subjects

_HEADER = (
    "cell", "A, mean % (seeds)", "B, mean % (seeds)", "A - B, points", "95 % over seeds", "95 % over images",
)  # fmt: skip


@dataclass(frozen=True)
class SeedCell:
    """One cell in all trainings of both recipes."""

    place: Place
    a: tuple[float, ...]
    """Accuracy of each training of A, in [0,1]."""
    b: tuple[float, ...]
    over_seeds: tuple[float, float] | None
    """95 % interval of the difference of the means: Welch's t over trainings, on these images; None where the trainings
    of either side do not differ, so that nothing can be said of others."""
    over_images: tuple[float, float]
    """95 % interval of the same difference: bootstrap over images, of these trainings."""

    @property
    def difference(self) -> float:
        """Mean of A minus mean of B."""
        return float(np.mean(self.a) - np.mean(self.b))


@dataclass(frozen=True, eq=False)
class SeedComparison:
    """Two recipes in one table."""

    table: Table
    names_a: tuple[str, ...]
    names_b: tuple[str, ...]
    cells: tuple[SeedCell, ...]
    errors: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Models whose runs have findings of level error, with the checks."""


def compare_seeds(
    records: Sequence[Record], pattern_a: str, pattern_b: str, attacks: Sequence[str] = ()
) -> list[SeedComparison]:
    """Compare all models whose names match `pattern_a` with those that match `pattern_b` (``*`` and ``?``).

    Only cells that are complete in all of them are compared; `attacks`, where given, are kept beside clean.

    Raises:
        UnknownName: no measured model matches a pattern.
        UsageError: a model matches both, one training stands twice, a pattern matches several recipes, or in no table
            both have two trainings or more.
    """
    for pattern in (pattern_a, pattern_b):
        if not any(fnmatchcase(record.info.model.name, pattern) for record in records):
            raise UnknownName("measured model", pattern, {record.info.model.name for record in records})
    found = []
    for group in grouped(records):
        chosen, _ = choose(group)
        a, b = (_matching(chosen, pattern) for pattern in (pattern_a, pattern_b))
        if {id(record) for record in a} & {id(record) for record in b}:
            raise UsageError(f"{pattern_a!r} and {pattern_b!r} both match a model; give patterns that do not overlap")
        if len(a) >= 2 and len(b) >= 2:
            (table,) = make_tables(group)
            found.append(SeedComparison(table, _names(a), _names(b), tuple(_cells(a, b, attacks)), _errors([*a, *b])))
    if not found:
        raise UsageError(
            f"in no table {pattern_a!r} and {pattern_b!r} have two trainings each; measure more seeds of both alike"
        )
    return found


def _matching(chosen: Sequence[Record], pattern: str) -> list[Record]:
    matches = [record for record in chosen if fnmatchcase(record.info.model.name, pattern)]
    known = subjects(matches)
    weights = [row_key(record.info, known)[1] for record in matches]
    if len(set(weights)) < len(weights):
        raise UsageError(f"{pattern!r} matches the same weights twice; a second run is no second training")
    recipes = {key_of(_recipe(record)): record.info.model.name for record in matches}
    if len(recipes) > 1:
        names = " and ".join(sorted(recipes.values())[:2])
        raise UsageError(f"{pattern!r} matches different recipes ({names}), not seeds of one; give a narrower pattern")
    return matches


def _recipe(record: Record) -> tuple[Any, ...]:
    """What two trainings of one recipe share, as far as their cards say it."""
    card = record.info.card or {}
    recipe = card.get("recipe") or {}
    return card.get("defense"), card.get("architecture"), recipe.get("options"), recipe.get("epochs")


def _errors(records: Sequence[Record]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    told = [(record.info.model.name, row_text.errors(record.findings)) for record in records]
    return tuple((name, checks) for name, checks in told if checks)


def _names(records: Sequence[Record]) -> tuple[str, ...]:
    return tuple(record.info.model.name + " (claim)" * record.claim for record in records)


def _cells(a: Sequence[Record], b: Sequence[Record], attacks: Sequence[str]) -> list[SeedCell]:
    common = [place for place in places(a[0], attacks) if all(place in record.survivors for record in (*a, *b))]
    found = []
    for place in common:
        given = np.logical_and.reduce([record.given(place[0]) for record in (*a, *b)])
        rows_a, rows_b = (np.stack([record.survivors[place][given] for record in side]) for side in (a, b))
        shares_a, shares_b = (tuple(float(share) for share in rows.mean(axis=1)) for rows in (rows_a, rows_b))
        images = rows_a.mean(axis=0) - rows_b.mean(axis=0)
        found.append(SeedCell(place, shares_a, shares_b, welch(shares_a, shares_b), bootstrap_mean(images)))
    return found


def bootstrap_mean(
    values: NDArray[np.float64], seed: int = 0, draws: int = 10_000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of the mean of `values` [n] when they are drawn again with replacement.

    The values repeat (differences of small means), so a resample is one multinomial draw of how often each occurs.
    Where all are 0, the interval is that of `leaderboard.tables.statistics.paired_bootstrap`.
    """
    if not values.any():
        return paired_bootstrap(0, 0, len(values), level=level)
    distinct, counts = np.unique(values.round(12), return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(values), counts / len(values), size=draws)
    low, high = np.quantile(drawn @ distinct / len(values), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def as_data(comparisons: Sequence[SeedComparison]) -> list[dict[str, Any]]:
    """The comparisons as JSON-able data."""
    return [
        {
            "data": c.table.data, "slice": c.table.slice, "n": c.table.n, "norm": c.table.norm, "suite": c.table.suite,
            "definition": c.table.definition, "mode": c.table.mode, "a": list(c.names_a), "b": list(c.names_b),
            "errors": [{"model": name, "checks": list(checks)} for name, checks in c.errors],
            "cells": [
                {
                    "attack": cell.place[0], "epsilon_label": cell.place[1], "a": list(cell.a), "b": list(cell.b),
                    "difference": cell.difference,
                    "ci95_seeds": None if cell.over_seeds is None else list(cell.over_seeds),
                    "ci95_images": list(cell.over_images),
                }
                for cell in c.cells
            ],
        }
        for c in comparisons
    ]  # fmt: skip


def as_markdown(comparisons: Sequence[SeedComparison]) -> str:
    """The comparisons as markdown."""
    parts = []
    for c, title in zip(comparisons, wording.titles([c.table for c in comparisons]), strict=True):
        parts += [
            f"## A: {escape(_marked(c, c.names_a), 400)}; B: {escape(_marked(c, c.names_b), 400)}",
            escape(f"On {title}, the same {c.table.n:,} samples.", 400),
            *([escape(row_text.marks_text(c.errors), 400)] if c.errors else []),
            "Means over trainings, each training's accuracy in parentheses. The interval over seeds (Welch's t) covers"
            " how another training would have come out, on these images; the one over images (bootstrap) covers which"
            " images were drawn, for these trainings. Neither covers the other, nor the seed of the attack.",
            grid(_HEADER, [_row(cell) for cell in c.cells], left=1),
        ]
    return "\n\n".join(parts) + "\n"


def _marked(comparison: SeedComparison, names: Sequence[str]) -> str:
    return ", ".join(row_text.marked(name, dict(comparison.errors).get(name, ())) for name in names)


def _row(cell: SeedCell) -> list[str]:
    def mean(values: Sequence[float]) -> str:
        return f"{100 * float(np.mean(values)):.1f} ({', '.join(f'{100 * value:.1f}' for value in values)})"

    def span(interval: tuple[float, float] | None) -> str:
        return "–" if interval is None else f"[{100 * interval[0]:+.1f}, {100 * interval[1]:+.1f}]"

    attack, label = cell.place
    name = "clean" if label == "0" else f"{attack} {label}"
    return [
        escape(name), mean(cell.a), mean(cell.b), f"{100 * cell.difference:+.1f}",
        span(cell.over_seeds), span(cell.over_images),
    ]  # fmt: skip
