"""Two models side by side: which samples flip, under which attack, and whether the difference could be chance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from harness.errors import UnknownName, UsageError
from leaderboard import row_text, wording
from leaderboard.render.json import score_data
from leaderboard.render.markdown import escape, grid
from leaderboard.rows import CLEAN, Table
from leaderboard.runs.record import Place, Record
from leaderboard.tables.paired import PairedCell, paired_cells
from leaderboard.tables.statistics import ALPHA
from leaderboard.tables.tables import choose, grouped, labels_of, make_tables

_SHOWN_IDS = 12
_HEADER = (
    "cell", "A, % [95 %]", "B, % [95 %]", "A - B, points [95 %]", "only A", "only B", "p", "significant", "n needed",
)  # fmt: skip


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison:
    """Two models in one table."""

    table: Table
    label_a: str
    label_b: str
    a: Record
    b: Record
    cells: tuple[PairedCell, ...]
    incomplete: tuple[Place, ...]
    """Cells that one of the two does not have."""


def compare(records: Sequence[Record], name_a: str, name_b: str, attacks: Sequence[str] = ()) -> list[Comparison]:
    """Compare two models wherever they were measured alike: same slice, suite, epsilon grid and mode.

    Args:
        records: The runs.
        name_a: A model's name, its label in a leaderboard, or the name of a run's folder.
        name_b: The other one.
        attacks: Attacks to compare beside clean, ``worst`` among them; empty takes all.

    Raises:
        UnknownName: no run of that name.
        UsageError: a name fits several rows of one table, both fit the same run, or the two share no table.
    """
    for name in (name_a, name_b):
        if not any(_matches(group, name) for group in grouped(records)):
            raise UnknownName("measured model", name, {record.info.model.name for record in records})
    found = []
    for group in grouped(records):
        (table,) = make_tables(group)
        pair = [_the_one(_matches(group, name), name, table) for name in (name_a, name_b)]
        if pair[0] is None or pair[1] is None:
            continue
        (a, label_a), (b, label_b) = pair[0], pair[1]
        if a is b:
            raise UsageError(f"{name_a!r} and {name_b!r} both name run {a.folder}; name two different ones")
        cells, incomplete = paired_cells(a, b, attacks)
        found.append(
            Comparison(
                table=table,
                label_a=label_a,
                label_b=label_b,
                a=a,
                b=b,
                cells=tuple(cells),
                incomplete=tuple(incomplete),
            )
        )
    if not found:
        raise UsageError(
            f"{name_a!r} and {name_b!r} share no table: {name_a!r} has {_where(records, name_a)};"
            f" {name_b!r} has {_where(records, name_b)}"
        )
    return found


def _matches(group: Sequence[Record], name: str) -> list[tuple[Record, str]]:
    """The runs of one table that `name` may mean, with their labels; the most exact reading wins."""
    chosen, _ = choose(group)
    labelled = list(zip(chosen, labels_of(chosen), strict=True))
    return (
        [(record, record.folder.name + " (claim)" * record.claim) for record in group if record.folder.name == name]
        or [(record, label) for record, label in labelled if label == name]
        or [(record, label) for record, label in labelled if record.info.model.name == name]
    )


def _the_one(matches: list[tuple[Record, str]], name: str, table: Table) -> tuple[Record, str] | None:
    if len(matches) > 1:
        options = " or ".join(repr(label) for _, label in matches)
        raise UsageError(f"{name!r} is ambiguous in {wording.titles([table])[0]}: name {options}")
    return matches[0] if matches else None


def _where(records: Sequence[Record], name: str) -> str:
    groups = [group for group in grouped(records) if _matches(group, name)]
    tables = [table for group in groups for table in make_tables(group)]
    return " and ".join(
        f"{t.data} n={t.n} {t.norm} {wording.suite_text(t).removeprefix('suite ')} {','.join(t.grid)} {t.mode}"
        for t in tables
    )


def as_data(comparisons: Iterable[Comparison]) -> list[dict[str, Any]]:
    """The comparisons as JSON-able data, with the ids and labels of all samples that flip."""
    return [
        {
            "data": c.table.data,
            "slice": c.table.slice,
            "n": c.table.n,
            "joined": None if c.table.joined is None else asdict(c.table.joined),
            "norm": c.table.norm,
            "suite": c.table.suite,
            "definition": c.table.definition,
            "mode": c.table.mode,
            "grid": list(c.table.grid),
            "a": {"label": c.label_a, "run": c.a.folder.name, "errors": list(row_text.errors(c.a.findings))},
            "b": {"label": c.label_b, "run": c.b.folder.name, "errors": list(row_text.errors(c.b.findings))},
            "cells": [_cell_data(c, cell) for cell in c.cells],
            "incomplete": [{"attack": attack, "epsilon_label": label} for attack, label in c.incomplete],
        }
        for c in comparisons
    ]


def _cell_data(comparison: Comparison, cell: PairedCell) -> dict[str, Any]:
    label_of = dict(zip(comparison.a.sample_ids.tolist(), comparison.a.labels.tolist(), strict=True))

    def samples(ids: np.ndarray | None) -> list[dict[str, int]] | None:
        return None if ids is None else [{"sample_id": i, "label": label_of[i]} for i in ids.tolist()]

    return {
        "attack": cell.a.attack,
        "epsilon": cell.a.epsilon,
        "epsilon_label": cell.a.epsilon_label,
        "a": score_data(cell.a),
        "b": score_data(cell.b),
        "difference": cell.paired.difference,
        "ci95": list(cell.paired.interval),
        "p": cell.paired.p,
        "p_holm": cell.p_holm,
        "significant": cell.significant,
        "n_needed": cell.paired.needed,
        "only_a": samples(cell.only_a),
        "only_b": samples(cell.only_b),
    }


def as_markdown(comparisons: Sequence[Comparison]) -> str:
    """The comparisons as markdown."""
    parts = []
    for comparison, title in zip(comparisons, wording.titles([c.table for c in comparisons]), strict=True):
        parts += _section(comparison, title)
    return "\n\n".join(parts) + "\n"


def _section(comparison: Comparison, title: str) -> list[str]:
    sides = ((comparison.label_a, comparison.a), (comparison.label_b, comparison.b))
    both = [(label, row_text.errors(record.findings)) for label, record in sides]
    a, b = (escape(row_text.marked(label, checks)) for label, checks in both)
    marks = row_text.marks_text(both)
    rows, flips = [], []
    for cell in comparison.cells:
        name = escape(_name(comparison.table, cell.a.attack, cell.a.epsilon_label))
        low, high = cell.paired.interval
        rows.append(
            [
                name,
                row_text.score_text(cell.a),
                row_text.score_text(cell.b),
                f"{100 * cell.paired.difference:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]",
                _count(cell.paired.only_a),
                _count(cell.paired.only_b),
                f"{cell.p_holm:.2g}",
                "yes" if cell.significant else "no",
                _count(cell.paired.needed),
            ]
        )
        for letter, ids in (("A", cell.only_a), ("B", cell.only_b)):
            if ids is not None and len(ids):
                flips.append(f"- {name}, right only in {letter}: {_ids(ids)}")
    estimates = wording.estimates_compared(comparison.table)
    intro = (
        f"Same {comparison.table.n:,} samples. Differences with 95 % paired bootstrap intervals over images; p of the"
        f" exact McNemar test{estimates}, Holm-corrected over {len(rows)} cells, significant at {100 * ALPHA:g} %; n"
        " needed is the number of samples that would separate the two with a power of 80 % if the observed shares hold."
    )
    missing = ", ".join(escape(_name(comparison.table, *place)) for place in comparison.incomplete)
    return [
        f"## A: {a}, B: {b}",
        escape(f"On {title}: run {comparison.a.folder.name} against run {comparison.b.folder.name}.", 400),
        *([escape(marks, 400)] if marks else []),
        intro,
        grid(_HEADER, rows, left=1),
        *([f"Not complete in both, so not compared: {missing}."] if missing else []),
        *(["\n".join(["Samples that flip (ids in the data set):", "", *flips])] if flips else ["No sample flips."]),
    ]


def _name(table: Table, attack: str, label: str) -> str:
    if attack == CLEAN:
        return CLEAN
    return f"{wording.column_name(table, attack)} {label}"


def _count(count: int | None) -> str:
    return "–" if count is None else f"{count:,}"


def _ids(ids: np.ndarray) -> str:
    shown = ", ".join(str(i) for i in ids[:_SHOWN_IDS].tolist())
    return shown if len(ids) <= _SHOWN_IDS else f"{shown} and {len(ids) - _SHOWN_IDS} more (all with --json)"
