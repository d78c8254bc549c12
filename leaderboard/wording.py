"""Sentences that every readable format shares, unescaped; each renderer escapes them its own way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from harness.base.modes import MODES
from harness.base.text import percent
from harness.trust.verify.verdict import NO
from leaderboard.rows import CLAIMED, CLEAN, Difference, Note, Pair, Row, Score, Table
from leaderboard.text import short_hash

INTERVALS = (
    "Accuracies are in % of all samples, with 95 % Wilson intervals; an interval covers the choice of images, not the"
    " seed of attack or training."
)
ACCURACIES = "Accuracies are in % of all samples."
MARK = "†"
"""Behind the name of a model whose run has grave findings: its figures are not what they look like."""


def titles(tables: Sequence[Table]) -> list[str]:
    """A heading for each table; where two would read alike, what they differ in is added."""
    plain = [f"{t.data}, {t.norm}, suite {t.suite}, {t.mode}" for t in tables]
    found = []
    for table, title in zip(tables, plain, strict=True):
        alike = [other for other, name in zip(tables, plain, strict=True) if name == title]
        details: dict[str, set[object]] = {
            f"n = {table.n:,}": {t.n for t in alike},
            f"epsilon {', '.join(table.grid)}": {t.grid for t in alike},
            f"slice {short_hash(table.slice)}": {t.slice for t in alike},
            f"definition {table.definition}": {t.definition for t in alike},
        }
        found.append(", ".join([title, *(text for text, values in details.items() if len(values) > 1)]))
    return found


def holds_text(table: Table) -> str:
    """What the table holds: everything that its rows share."""
    meaning = f": {MODES[table.mode].words}" if table.mode in MODES else ""
    outside = " Outside the board, which lists no run of this suite on this slice." if table.outside else ""
    return (
        f"Threat model {table.norm} at epsilon {', '.join(table.grid)}; data {table.data}, n = {table.n:,}, slice"
        f" {short_hash(table.slice)}; suite {table.suite}, definition {table.definition};"
        f" mode {table.mode}{meaning}.{outside}"
    )


def worst_text(table: Table) -> str:
    """What the worst case is in this table."""
    if table.worst_is_attack:
        return f"The worst case is {table.attacks[0].attack} itself: it is the only attack and inherits its witnesses."
    return "The worst case counts a sample as lost if any attack broke it at this or a smaller epsilon."


def ranking_text(table: Table) -> str:
    """How the rows are ranked."""
    ranking = table.ranking
    out = any(row.rank is None and row.verified in (CLAIMED, NO) for row in table.rows)
    beside = " Claims, which no board lists, and runs that verification refuted are not ranked." if out else ""
    if ranking is None:
        return f"Not ranked: at no epsilon is the worst case complete in all rows.{beside}"
    if ranking.rows == 1:
        return f"Ranking cell: worst case at {ranking.epsilon_label}; there is only one row to rank.{beside}"
    early = any(row.rank is None and row.verified not in (CLAIMED, NO) and not row.complete for row in table.rows)
    rows = "all rows that are complete" if early else "all rows"
    pairs = f"{ranking.pairs} pairs" if ranking.pairs > 1 else "1 pair"
    return (
        f"Ranking cell: worst case at {ranking.epsilon_label}, the largest epsilon complete in {rows}. A rank is the"
        f" interval from 1 + rows significantly better to {ranking.rows} - rows significantly worse"
        f" (exact McNemar on the same samples, Holm over {pairs}, {100 * ranking.alpha:g} %).{beside}"
    )


def errors(findings: Iterable[Note]) -> tuple[str, ...]:
    """Checks with findings of level error or refuse, each once."""
    return tuple(sorted({note.check for note in findings if note.grave}))


def marked(label: str, checks: Sequence[str]) -> str:
    """The label, with `MARK` behind it if there are errors."""
    return f"{label} {MARK}" if checks else label


def marks_text(runs: Iterable[tuple[str, Sequence[str]]]) -> str:
    """What the mark says of which labels, with their errors; empty if none has any."""
    told = [f"{label} ({', '.join(checks)})" for label, checks in runs if checks]
    named = "; ".join(told)
    return f"{MARK} findings of level error, so that these figures are not to be trusted: {named}." if told else ""


def number_text(score: Score) -> str:
    """``62.1``, or the status of a cell that has no number."""
    return percent(score.accuracy) if score.status == "ok" else score.status


def interval_text(score: Score) -> str:
    """``[60.0, 64.2]``; empty for a cell that has no number."""
    if score.status != "ok" or score.ci95 is None:
        return ""
    low, high = score.ci95
    return f"[{100 * low:.1f}, {100 * high:.1f}]"


def score_text(score: Score) -> str:
    """``62.1 [60.0, 64.2]``, or the status of a cell that has no number."""
    return percent(score.accuracy, score.ci95) if score.status == "ok" else score.status


def rank_text(row: Row) -> str:
    """``2`` or ``1–3``; a dash if the row is not ranked."""
    if row.rank is None:
        return "–"
    low, high = row.rank
    return str(low) if low == high else f"{low}–{high}"


def findings_text(row: Row) -> str:
    """``0``, or how many findings of which level."""
    counts = Counter(note.level for note in row.findings)
    return ", ".join(f"{count} {level}" for level, count in sorted(counts.items())) or "0"


def seconds_text(row: Row) -> str:
    """Seconds of computing, or a dash."""
    return "–" if row.seconds is None else f"{row.seconds:,.1f}"


def twins_text(table: Table, pair: Pair) -> str:
    """What a pair of twins compares, and how."""
    a, b = (table.rows[place].label for place in (pair.a, pair.b))
    return (
        f"Contrastive pre-training against its twin without: {a} minus {b}, on the same samples; paired bootstrap over"
        " images, exact McNemar, Holm over these cells."
    )


def difference_texts(cell: Difference) -> list[str]:
    """Cell, difference, interval, samples only one of the two gets right, p and whether it is significant."""
    low, high = cell.ci95
    where = cell.attack if cell.attack == CLEAN else f"{cell.attack} {cell.epsilon_label}"
    numbers = [f"{100 * cell.difference:+.1f}", f"[{100 * low:+.1f}, {100 * high:+.1f}]"]
    counts = [f"{cell.only_a:,}", f"{cell.only_b:,}"]
    return [where, *numbers, *counts, f"{cell.p_holm:.2g}", "yes" if cell.significant else "no"]


def versions_text(table: Table, row: Row) -> str:
    """Versions of the harness, of torch, and of the tools that the suite's attacks come from."""
    found = {name: row.versions[name] for name in ("robustness-harness", "torch") if name in row.versions}
    found |= {column.tool: row.tools.get(column.attack) or "not installed" for column in table.attacks}
    return ", ".join(f"{name} {version}" for name, version in found.items())
