"""Which runs of a list are joined: of every model the most samples, and only where nothing has to be guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.evidence.run_info import RunInfo
from harness.evidence.suite_label import definition
from harness.inputs.adaptations import is_pooled
from leaderboard.runs.joined import NotJoined, adds, common_grid, join_runs
from leaderboard.runs.record import Record
from leaderboard.tables.tables import RowKey, choose, grouped, row_key, subjects


@dataclass(frozen=True, eq=False)
class _Pair:
    """Two tables whose rows may be joined, by the rows that stand in both."""

    cheap: Mapping[RowKey, Record]
    dear: Mapping[RowKey, Record]

    @property
    def size(self) -> tuple[int, int]:
        return (next(iter(self.cheap.values())).info.data.n, next(iter(self.dear.values())).info.data.n)

    @property
    def suites(self) -> tuple[object, ...]:
        """What the two runs attack with: pairs that agree in it differ in their numbers of samples alone."""
        infos = [next(iter(records.values())).info for records in (self.cheap, self.dear)]
        return tuple((info.suite.label, definition(info.suite), info.suite.labels) for info in infos)

    def within(self, other: _Pair) -> bool:
        """Whether `other` says the same of all these models on more samples."""
        larger = all(mine <= theirs for mine, theirs in zip(self.size, other.size, strict=True))
        return larger and self.size != other.size and self.suites == other.suites and {*self.cheap} <= {*other.cheap}


def with_joined(records: Sequence[Record], told: list[str] | None = None) -> list[Record]:
    """The records, and behind them a joined one for every model with a cheap run and a dear run on its first samples.

    Runs are joined where data set, norm, mode, draws and seed agree, the dear suite has an attack that the cheap one
    lacks, and its samples are the first of the cheap run's; of several sizes of the same two suites the largest speaks.
    Refuted runs are not joined, and none with a pool is the cheap one: of the first samples others may have found more,
    and then the dear attack's share of what stands there is not that of the rest.

    Args:
        records: Of any tables.
        told: Takes a line for every two runs that could not be joined although they look as if they belonged together.
    """
    able = [r for r in records if r.joined is None and not r.refuted and _plain(r)]
    known = subjects(records)

    def speaking(of: Sequence[Record]) -> list[dict[RowKey, Record]]:
        return [{row_key(record.info, known): record for record in choose(group)[0]} for group in grouped(of)]

    pairs = []
    dears = speaking(able)
    for cheap in speaking([record for record in able if not _pooled(record)]):
        for dear in dears:
            keys = [key for key in cheap if key in dear and _belong(cheap[key], dear[key])]
            if keys:
                pairs.append(_Pair({key: cheap[key] for key in keys}, {key: dear[key] for key in keys}))
    found: list[Record] = []
    for pair in pairs:
        if any(pair.within(other) for other in pairs):
            continue
        for key, record in pair.cheap.items():
            try:
                found.append(join_runs(record, pair.dear[key]))
            except NotJoined as error:
                if told is not None:
                    told.append(str(error))
    return [*records, *found]


def _belong(cheap: Record, dear: Record) -> bool:
    one, other = cheap.info, dear.info
    same = _shared(one) == _shared(other)
    return same and one.data.n > other.data.n and adds(cheap, dear) and bool(common_grid(cheap, dear))


def _shared(info: RunInfo) -> tuple[object, ...]:
    """What of two runs must be the same that they can be joined."""
    return info.data.name, info.suite.ruler, info.mode, info.randomness


def _pooled(record: Record) -> bool:
    return any(is_pooled(attack.adaptations) for attack in record.info.suite.attacks)


def _plain(record: Record) -> bool:
    """Whether every attack of the run was given all its samples."""
    return all(score.n == record.info.data.n for score in record.scores.values())
