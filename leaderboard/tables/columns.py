"""What a table's columns are, and of joined runs where its two sides come from."""

from __future__ import annotations

from collections.abc import Iterable

from harness.evidence.run_info import RunInfo
from harness.evidence.suite_label import definition, shown_label
from leaderboard.rows import CLEAN, WORST, Column, Score, Source, Sources
from leaderboard.runs.record import JoinedRuns, Record


def columns(info: RunInfo, adapted: bool = False) -> tuple[Column, ...]:
    """The attacks of a run's suite, in its order, or the `adapted` ones behind them, which are each model's own."""
    return tuple(
        Column(
            attack=a.id,
            tool=a.tool,
            caveats=a.caveats,
            method=a.method,
            iterative=a.iterative,
            params=dict(a.params),
            n=None if info.samples_of(a) == info.data.n else info.samples_of(a),
            adapt=a.adaptations,
        )
        for a in info.suite.attacks
        if bool(a.adapt) == adapted
    )


def adapted(records: Iterable[Record]) -> tuple[Column, ...]:
    """The adapted attacks that any of these runs has, by their ids; a run's own stand in its order."""
    found: dict[str, Column] = {}
    for record in records:
        for column in columns(record.info, adapted=True):
            found.setdefault(column.attack, column)
    return tuple(found.values())


def sources(joined: JoinedRuns | None) -> Sources | None:
    """What the rows of a table of joined runs were joined from."""
    if joined is None:
        return None
    cheap, dear = (
        Source(
            suite=shown_label(record.info),
            definition=definition(record.info.suite),
            slice=record.info.data.slice,
            n=record.info.data.n,
            attacks=columns(record.info),
        )
        for record in (joined.cheap, joined.dear)
    )
    return Sources(cheap, dear)


def beside(record: Record) -> tuple[Score, ...]:
    """Cells of a joined row's two runs that do not stand in the table, for their cost."""
    if record.joined is None:
        return ()
    runs = (record.joined.cheap, record.joined.dear)
    cells = ((run, place, score) for run in runs for place, score in run.scores.items())
    return tuple(
        score
        for run, place, score in cells
        if place[0] not in (CLEAN, WORST) and (run is record.joined.dear or place not in record.scores)
    )
