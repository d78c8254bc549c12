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


def shared(records: Iterable[Record], adapted: bool = False) -> tuple[Column, ...]:
    """The columns of runs of one table, by attack; a run's own stand in its order.

    Where runs differ in one, as adaptations of a pool and the reach of a stopping rule do, it has what they share: the
    names of the former, the range of the latter.
    """
    found: dict[str, Column] = {}
    for record in records:
        for column in columns(record.info, adapted):
            known = found.setdefault(column.attack, column)
            if known.adapt != column.adapt:
                known = replace(known, adapt=tuple(dict.fromkeys(text.partition(":")[0] for text in known.adapt)))
            found[column.attack] = _spread(known, column, record.info.data.n)
    return tuple(found.values())


def _spread(known: Column, column: Column, size: int) -> Column:
    """`known`, from the least to the most of the samples that the two ran on."""
    counts = [size if count is None else count for count in (known.n, known.most or known.n, column.n)]
    least, most = min(counts), max(counts)
    return replace(known, n=None if least == size else least, most=None if least == most else most)


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
