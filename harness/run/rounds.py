"""Rounds of a run: one, unless attacks with an n go on until the estimates are narrow enough (``--until``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import pyarrow as pa

from harness.evidence.facts import concat as concat_facts
from harness.evidence.metrics import worst_case
from harness.evidence.store import Unit
from harness.evidence.until import MISSING, begin, grow, state, words
from harness.measure.done import Done
from harness.measure.lanes import Lane, all_lanes
from harness.measure.worker import Worker
from harness.run.session import Session
from harness.types import Finding


class Rounds:
    """What is to be measured, round by round.

    Args:
        worker: Of the run.
        session: Told what was reached.
    """

    def __init__(self, worker: Worker, session: Session) -> None:
        self._worker, self._session = worker, session
        self._counts = begin(session.described)
        self.lanes: Sequence[Lane] = self._all()
        """Of this round."""
        self.units = self._units()
        """Of this round and those before."""
        self._settled: int | None = None
        session.findings = [old for old in session.findings if old.check != "until"]
        session.described = msgspec.structs.replace(session.described, reached=None)

    def over(self, tables: Sequence[pa.Table]) -> bool:
        """Whether no round follows this one, which is finished; else `lanes` and `units` are those of the next.

        Args:
            tables: Facts of all units so far.
        """
        info = self._session.described
        if info.suite.until is None:
            return True
        self._settled = len(tables)
        dear = {attack.id: self._counts[attack.id] for attack in info.suite.attacks if attack.n is not None}
        self._session.described = msgspec.structs.replace(info, reached=dear)
        found = concat_facts(tables)
        rows = worst_case(found, info.data.n, drawn=self._counts, adapted=info.suite.adapted)
        why = state(info, rows, self._counts) if rows and all(row.complete for row in rows) else MISSING
        if why:
            self._session.note(Finding("until", "info", words(info, rows, found, self._counts, why)))
            return True
        before = set(self._all())
        self._counts = grow(info, self._counts)
        self.lanes = [lane for lane in self._all() if lane not in before]
        self.units = [*self.units, *self._units()]
        return False

    def kept(self, tables: Sequence[pa.Table]) -> pa.Table:
        """The facts of all finished rounds; of a run that was stopped in its first one, those there are."""
        return concat_facts(tables[: self._settled])

    def _all(self) -> list[Lane]:
        return all_lanes(self._worker.suite, len(self._worker.part.indices), tuple(self._counts.values()))

    def _units(self) -> list[Unit]:
        return [unit for lane in self.lanes for unit, _ in self._worker.units(lane)]


def guarded(units: Iterator[Done]) -> Iterator[Done]:
    """Close the executor whatever happens, so that its pools and locks go."""
    try:
        yield from units
    finally:
        if hasattr(units, "close"):
            units.close()
