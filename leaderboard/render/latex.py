"""Tables as LaTeX with the rules of booktabs: pure and byte-stable; names from strangers stay text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from leaderboard import wording
from leaderboard.rows import Row, Table
from leaderboard.text import one_line

_ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}", "–": r"\textendash{}", "…": r"\ldots{}",
}  # fmt: skip
_LONG = 400
_NAMES = ("rank", "model", "defense", "trained for")
_COSTS = ("fwd", "bwd", "s", "grade", "findings", "verified")


def render(tables: Sequence[Table]) -> str:
    """The leaderboard as LaTeX, a floating table for each table."""
    parts = ["% \\usepackage{booktabs} and \\usepackage[T1]{fontenc} are needed."]
    parts += [_float(table, title) for table, title in zip(tables, wording.titles(tables), strict=True)]
    return "\n\n".join(parts) + "\n"


def escape(text: object, limit: int | None = None) -> str:
    """`text` as one line of LaTeX that prints as itself."""
    shown = one_line(text, limit) if limit else one_line(text)
    shown = "".join(_ESCAPES.get(char, char) for char in shown)
    return re.sub(r"([-'])(?=\1)", r"\1{}", shown)  # two of them would become a dash or a closing quote


def _float(table: Table, title: str) -> str:
    columns = [(attack.attack, table.grid) for attack in table.attacks]
    if not table.worst_is_attack:
        columns.append(("worst case", table.grid))
    numbers = sum(len(labels) for _, labels in columns)
    caption = " ".join([f"{title}.", wording.holds_text(table), wording.INTERVALS, wording.worst_text(table)])
    caption = f"{escape(caption, 2 * _LONG)} {escape(wording.ranking_text(table), _LONG)}"
    place = 6
    groups, rules = [], []
    for name, labels in columns:
        groups.append(rf"\multicolumn{{{len(labels)}}}{{c}}{{{escape(name)}}}")
        rules.append(rf"\cmidrule(lr){{{place}-{place + len(labels) - 1}}}")
        place += len(labels)
    shown = [escape(label) for _, labels in columns for label in labels]
    return "\n".join(
        [
            r"\begin{table*}",
            r"\centering\scriptsize",
            rf"\caption{{{caption} {_versions(table)}}}",
            rf"\begin{{tabular}}{{rlllr{'r' * numbers}rrrlll}}",
            r"\toprule",
            " & ".join([" & & & &", *groups, r"& & & & & \\"]),
            "".join(rules),
            " & ".join([*_NAMES, "clean", *shown, *_COSTS]) + r" \\",
            r"\midrule",
            *(_line(table, row) for row in table.rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table*}",
        ]
    )


def _line(table: Table, row: Row) -> str:
    shown = (row.clean, *row.cells, *(() if table.worst_is_attack else row.worst))
    named = [wording.rank_text(row), row.label, row.defense or "–", row.trained_for or "–"]
    cost = [f"{row.forwards:,}", f"{row.backwards:,}", wording.seconds_text(row), row.grade or "–"]
    cost += [wording.findings_text(row), row.verified]
    scores = [wording.score_text(score) for score in shown]
    return " & ".join(escape(text) for text in (*named, *scores, *cost)) + r" \\"


def _versions(table: Table) -> str:
    found: dict[str, list[str]] = {}
    for row in table.rows:
        found.setdefault(wording.versions_text(table, row), []).append(row.label)
    if len(found) == 1:
        return f"Versions: {escape(next(iter(found)), _LONG)}."
    return " ".join(escape(f"Versions of {', '.join(names)}: {text}.", _LONG) for text, names in found.items())
