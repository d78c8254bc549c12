"""Tables as LaTeX with the rules of booktabs: pure and byte-stable; names from strangers stay text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from leaderboard import row_text, wording
from leaderboard.render.latex_columns import Column, check_columns, columns_of, width
from leaderboard.rows import Row, Score, Table
from leaderboard.text import one_line

_ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}", "–": r"\textendash{}", "…": r"\ldots{}",
    row_text.MARK: r"\dag{}",
}  # fmt: skip
_LONG = 400
COLUMN_WIDTH = 240
"""Points of one column of a paper in two columns (IEEE has 252, ACM 241)."""


def render(tables: Sequence[Table], columns: Sequence[str] = (), intervals: bool = True) -> str:
    """The leaderboard as LaTeX, a floating table for each table.

    Args:
        tables: The tables.
        columns: Names of columns, see `latex_columns`; empty takes those that fit one column of a paper.
        intervals: Whether the 95 % interval stands under each number.

    Raises:
        UnknownName: no table has such a column.
    """
    check_columns(columns, tables)
    parts = ["% \\usepackage{booktabs} and \\usepackage[T1]{fontenc} are needed."]
    titles = wording.titles(tables)
    parts += [_float(table, title, columns, intervals) for table, title in zip(tables, titles, strict=True)]
    return "\n\n".join(parts) + "\n"


def escape(text: object, limit: int | None = None) -> str:
    """`text` as one line of LaTeX that prints as itself."""
    shown = one_line(text, limit) if limit else one_line(text)
    shown = "".join(_ESCAPES.get(char, char) for char in shown)
    return re.sub(r"([-'])(?=\1)", r"\1{}", shown)  # two of them would become a dash or a closing quote


def _float(table: Table, title: str, names: Sequence[str], intervals: bool) -> str:
    columns = columns_of(table, names)
    environment = "table" if width(table, columns, intervals) <= COLUMN_WIDTH else "table*"
    return "\n".join(
        [
            rf"\begin{{{environment}}}",
            r"\centering\scriptsize\setlength{\tabcolsep}{3pt}",
            rf"\caption{{{_caption(table, title, intervals)}}}",
            rf"\begin{{tabular}}{{{''.join(column.align for column in columns)}}}",
            r"\toprule",
            *_groups(columns),
            " & ".join(escape(column.title) for column in columns) + r" \\",
            r"\midrule",
            *(line for row in table.rows for line in _lines(columns, row, intervals)),
            r"\bottomrule",
            r"\end{tabular}",
            rf"\end{{{environment}}}",
        ]
    )


def _caption(table: Table, title: str, intervals: bool) -> str:
    told = wording.intervals_text(table) if intervals else wording.ACCURACIES
    caption = " ".join([f"{title}.", wording.holds_text(table), told, wording.worst_text(table)])
    parts = [escape(caption, 4 * _LONG), escape(wording.ranking_text(table), 4 * _LONG)]
    marks = row_text.marks_text([(row.label, row_text.errors(row.findings)) for row in table.rows])
    return " ".join([*parts, *([escape(marks, _LONG)] if marks else []), _versions(table)])


def _groups(columns: Sequence[Column]) -> list[str]:
    """The line above the titles, which names attacks, and its rules; nothing where there is none to name."""
    shown, rules, place = [], [], 1
    for group, members in groupby(columns, key=lambda column: column.group):
        count = len(list(members))
        if group:
            shown.append(rf"\multicolumn{{{count}}}{{c}}{{{escape(group)}}}")
            rules.append(rf"\cmidrule(lr){{{place}-{place + count - 1}}}")
        else:
            shown += [""] * count
        place += count
    return [" & ".join(shown) + r" \\", "".join(rules)] if rules else []


def _lines(columns: Sequence[Column], row: Row, intervals: bool) -> list[str]:
    values = [column.value(row) for column in columns]
    first = [escape(row_text.number_text(value) if isinstance(value, Score) else value) for value in values]
    lines = [" & ".join(first) + r" \\"]
    if intervals:
        below = [row_text.interval_text(value) if isinstance(value, Score) else "" for value in values]
        below = [rf"\tiny {text}" if text else "" for text in below]
        lines.append((" & ".join(below) + r" \\[2pt]").lstrip())
    return lines


def _versions(table: Table) -> str:
    found: dict[str, list[str]] = {}
    for row in table.rows:
        found.setdefault(row_text.versions_text(table, row), []).append(row.label)
    if len(found) == 1:
        return f"Versions: {escape(next(iter(found)), _LONG)}."
    return " ".join(escape(f"Versions of {', '.join(names)}: {text}.", _LONG) for text, names in found.items())
