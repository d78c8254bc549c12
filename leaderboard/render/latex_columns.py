"""Which columns a table for a paper has, by name, and how wide they are.

``rank``, ``model``, ``defense``, ``trained-for``, ``clean``, ``fwd``, ``bwd``, ``seconds``, ``grade``, ``findings``,
``adaptations`` and ``verified``; ``attacks`` for all attacks, an attack's id or ``worst`` for its whole epsilon grid,
``ID@EPS`` for one epsilon of it (``pgd-20@8/255``); ``all`` for everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from harness.errors import UnknownName
from leaderboard import row_text, wording
from leaderboard.rows import CLEAN, WORST, Row, Score, Table
from leaderboard.text import one_line

ALL, ATTACKS = "all", "attacks"
_FACTS: dict[str, tuple[str, str, Callable[[Row], str]]] = {
    "rank": ("rank", "r", row_text.rank_text),
    "model": ("model", "l", lambda row: row_text.marked(row.label, row_text.errors(row.findings))),
    "defense": ("defense", "l", lambda row: row.defense or "–"),
    "trained-for": ("trained for", "l", lambda row: row.trained_for or "–"),
    "fwd": ("fwd", "r", lambda row: f"{row.forwards:,}"),
    "bwd": ("bwd", "r", lambda row: f"{row.backwards:,}"),
    "seconds": ("s", "r", row_text.seconds_text),
    "grade": ("grade", "l", lambda row: row.grade or "–"),
    "findings": ("findings", "l", row_text.findings_text),
    "adaptations": ("adaptations", "l", row_text.adaptations_text),
    "verified": ("verified", "l", lambda row: row.verified),
}
"""Name of a column to its title, its place in the cell (LaTeX's ``l`` or ``r``) and its text."""
_EVERYTHING = (
    "rank", "model", "defense", "trained-for", CLEAN, ATTACKS, WORST, "fwd", "bwd", "seconds", "grade", "findings",
    "adaptations", "verified",
)  # fmt: skip
_SHOWN_EPSILONS = 3
"""Of the worst case, where nobody says which columns are wanted."""
_GAP = 6.0
_WIDE, _NARROW = 4.1, 2.4
"""Points of a digit or letter, and of punctuation, in Computer Modern at 7 pt; both measured, rounded up."""
_PUNCTUATION = " .,:;-/()[]'"
_TINY = 0.85
"""Of that, at 5 pt."""


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    group: str
    """What stands above it and its neighbors of the same group; empty for nothing."""
    title: str
    align: str
    value: Callable[[Row], str | Score]


def columns_of(table: Table, names: Sequence[str]) -> list[Column]:
    """The columns of that name that this table has, in the order given; those of a paper's column if none is given."""
    if not names:
        return [column for name in ("rank", "model", CLEAN) for column in _named(table, name)] + _few(table)
    found = [column for name in names for column in _named(table, name)]
    unique: dict[tuple[str, str], Column] = {}
    for column in found:
        unique.setdefault((column.group, column.title), column)
    return list(unique.values())


def check_columns(names: Sequence[str], tables: Sequence[Table]) -> None:
    """Refuse a name that no table has a column of.

    Raises:
        UnknownName: there is no such column.
    """
    for name in names if tables else ():
        if not any(_named(table, name) for table in tables):
            cells = {attack: None for table in tables for attack in _attacks(table)}
            raise UnknownName("column", name, [ALL, CLEAN, ATTACKS, *_FACTS, *cells], "(of one epsilon: NAME@EPSILON)")


def width(table: Table, columns: Sequence[Column], intervals: bool) -> float:
    """Points that the columns take at LaTeX's ``scriptsize`` with 3 pt beside each.

    About: letters count as much as digits, most of which are wider, so that names make it up to 15 % too large.
    """
    total = 0.0
    for group, members in groupby(columns, key=lambda column: column.group):
        total += max(sum(_column_width(table, column, intervals) for column in members), _width(group) + _GAP)
    return total


def _column_width(table: Table, column: Column, intervals: bool) -> float:
    values = [column.value(row) for row in table.rows]
    widths = [_width(value if isinstance(value, str) else row_text.number_text(value)) for value in values]
    if intervals:
        widths += [_TINY * _width(row_text.interval_text(value)) for value in values if isinstance(value, Score)]
    return max([_width(column.title), *widths]) + _GAP


def _width(text: str) -> float:
    return sum(_NARROW if char in _PUNCTUATION else _WIDE * (1.7 if char in "mwMW" else 1) for char in one_line(text))


def _named(table: Table, name: str) -> list[Column]:
    if name == ALL:
        shown = [part for part in _EVERYTHING if part != WORST or not table.worst_is_attack]
        return [column for part in shown for column in _named(table, part)]
    if name in _FACTS:
        title, align, text = _FACTS[name]
        return [Column("", title, align, text)]
    if name == CLEAN:
        return [Column("", CLEAN, "r", lambda row: row.clean)]
    if name == ATTACKS:
        return [column for attack in table.columns for column in _named(table, attack.attack)]
    attack, _, at = name.rpartition("@")
    if attack and at in table.grid and attack in _attacks(table):
        return [_cell(table, attack, at)]
    return [_cell(table, name, label) for label in table.grid] if name in _attacks(table) else []


def _attacks(table: Table) -> list[str]:
    return [*(column.attack for column in table.columns), WORST]


def _few(table: Table) -> list[Column]:
    """The worst case at the ranking epsilon and at the two before it."""
    ranked = table.ranking.epsilon_label if table.ranking else table.grid[-1]
    end = table.grid.index(ranked) + 1
    return [_cell(table, WORST, label) for label in table.grid[max(0, end - _SHOWN_EPSILONS) : end]]


def _cell(table: Table, attack: str, label: str) -> Column:
    def score(row: Row) -> Score | str:
        return row.score(attack, label) or "–"

    return Column(wording.column_name(table, attack), label, "r", score)
