"""What a row and a figure are called in every readable format, unescaped; each renderer escapes them its own way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from harness.base.text import percent
from leaderboard.estimates import ESTIMATED
from leaderboard.rows import Note, Row, Score, Table

MARK = "†"
"""Behind the name of a model whose run has grave findings: its figures are not what they look like."""


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
    """``62.1``, ``62.1 est.``, or the status of a cell that has no number."""
    return f"{percent(score.accuracy)}{_mark(score)}" if score.known else score.status


def interval_text(score: Score) -> str:
    """``[60.0, 64.2]``; empty for a cell that has no number."""
    if not score.known or score.ci95 is None:
        return ""
    low, high = score.ci95
    return f"[{100 * low:.1f}, {100 * high:.1f}]"


def score_text(score: Score) -> str:
    """``62.1 [60.0, 64.2]``, with ``est.`` behind an estimate, or the status of a cell that has no number."""
    return f"{percent(score.accuracy, score.ci95)}{_mark(score)}" if score.known else score.status


def _mark(score: Score) -> str:
    return " est." if score.status == ESTIMATED else ""


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


def adaptations_text(row: Row) -> str:
    """``3 tried``, ``none tried``, or a dash where nothing is differentiated."""
    if row.tried is None:
        return "–"
    return f"{len(row.tried) or 'none'} tried"


def seconds_text(row: Row) -> str:
    """Seconds of computing, or a dash."""
    return "–" if row.seconds is None else f"{row.seconds:,.1f}"


def versions_text(table: Table, row: Row) -> str:
    """Versions of the harness, of torch, and of the tools that the suite's attacks come from."""
    found = {name: row.versions[name] for name in ("robustness-harness", "torch") if name in row.versions}
    columns = [*table.attacks, *(table.joined.dear.attacks if table.joined else ())]
    columns += [column for column in table.adapted if column.attack in row.tools]
    found |= {column.tool: row.tools.get(column.attack) or "not installed" for column in columns}
    return ", ".join(f"{name} {version}" for name, version in found.items())
