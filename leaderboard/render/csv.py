"""Tables as one tidy CSV file: a line for each number, with everything that tells it from others beside it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from leaderboard import row_text
from leaderboard.rows import WORST, Row, Score, Table
from leaderboard.text import one_line

COLUMNS = (
    "data", "slice", "n", "norm", "suite", "definition", "mode", "ranked_at", "rank_low", "rank_high", "model", "label",
    "weights", "seed", "defense", "trained_for", "attack", "tool", "tool_version", "epsilon", "epsilon_label", "status",
    "correct", "accuracy", "ci95_low", "ci95_high", "forwards", "backwards", "run_seconds", "grade", "findings",
    "verified", "versions", "device", "run", "finished", "errors", "factors", "slice_low", "slice_high", "joined_suite",
    "joined_n", "joined_slice", "threat", "kept", "kept_of", "relative_error",
    "adapt", "adaptations",
)  # fmt: skip


def render(tables: Sequence[Table]) -> str:
    """The leaderboard as CSV; a number that is not there is an empty field.

    `errors` names the checks with findings of level error: figures beside it are not what they look like. Text that a
    spreadsheet would take for a formula gets an apostrophe before it. Estimates have their `factors` (kept/drawn), the
    interval for the slice itself, and in a table of joined runs the second suite with its n and slice. Under
    corruptions ``worst`` is the mean over kinds, whose `correct` counts a sample once for each. `adapt` says of an
    adapted attack what is changed, `adaptations` how many of them the model's run has, 0 if none was tried.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for table in tables:
        for row in table.rows:
            for score in (row.clean, *row.cells, *row.adapted, *row.worst):
                writer.writerow([_field(value) for value in _values(table, row, score)])
    return out.getvalue()


def _values(table: Table, row: Row, score: Score) -> Iterator[object]:
    low, high = row.rank or (None, None)
    yield from (table.data, table.slice, score.n, table.norm, table.suite, table.definition, table.mode)
    yield from (table.ranking.epsilon_label if table.ranking else None, low, high, row.model, row.label)
    yield from (row.weights, row.seed, row.defense, row.trained_for, score.attack)
    column = next((column for column in table.columns if column.attack == score.attack), None)
    yield from (
        column and column.tool,
        row.tools.get(score.attack),
        repr(score.epsilon),
        score.epsilon_label,
        score.status,
    )
    interval = score.ci95 or (None, None)
    yield from (None if value is None else repr(value) for value in (score.correct, score.accuracy, *interval))
    yield from (None, None) if score.attack == WORST else (score.forwards, score.backwards)
    findings = "; ".join(f"{note.level} {note.check}: {note.message}" for note in row.findings)
    versions = " ".join(f"{name}={value}" for name, value in sorted(row.versions.items()))
    yield from (row.seconds, row.grade, findings, row.verified, versions)
    yield from (row.device, row.run, row.finished, " ".join(row_text.errors(row.findings)))
    estimate, dear = score.estimate, table.joined and table.joined.dear
    yield " ".join(f"{part.kept}/{part.drawn}" for part in estimate.factors) if estimate else None
    yield from (repr(end) for end in estimate.of_slice) if estimate else (None, None)
    yield from (dear.suite, dear.n, dear.slice) if dear else (None, None, None)
    yield from (table.threat, *(score.kept or (None, None)), None if row.relative is None else repr(row.relative))
    yield from (",".join(column.adapt) if column else None, None if row.tried is None else len(row.tried))


def _field(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = one_line(value, limit=None)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
