"""What a table's columns are, and of joined runs where its two sides come from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

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
    """The adapted attacks that any of these runs has, by their ids; a run's own stand in its order.

    Where runs differ in one, as in the runs of a pool, or in its n, the column has what they share: names, the least n.
    """
    found: dict[str, Column] = {}
    for column in (column for record in records for column in columns(record.info, adapted=True)):
        known = found.setdefault(column.attack, column)
        if known.adapt != column.adapt:
            known = replace(known, adapt=tuple(dict.fromkeys(text.partition(":")[0] for text in known.adapt)))
        if known.n != column.n:
            known = replace(known, n=min(n for n in (known.n, column.n) if n is not None))
        found[column.attack] = known
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
    cheap, dear = record.joined.cheap, record.joined.dear
    own, grid = record.attacked, record.info.suite.epsilons

    def shown(score: Score) -> bool:
        """Whether a cell of the dear run, which may write the epsilon in another way, stands in the table."""
        return score.attack in own and any(math.isclose(score.epsilon, value, rel_tol=1e-9) for value in grid)

    cells = [score for place, score in cheap.scores.items() if place not in record.scores]
    cells += [score for score in dear.scores.values() if not shown(score)]
    return tuple(score for score in cells if score.attack not in (CLEAN, WORST))
