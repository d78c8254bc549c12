"""A worker holds the model and computes lanes: one attack on one chunk, up the epsilon grid (or halving it).

A lane's units run in order, for each inherits from the one before; what lanes need of each other is on disk
(`harness.measure.lanes.needs`). Any number of workers can share the lanes of a run, and what they find does not depend
on who does what.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harness.base.deadline import Halted
from harness.base.modes import MODES
from harness.base.text import now
from harness.base.threat import Epsilon
from harness.errors import BadRun
from harness.evidence import facts
from harness.evidence.costs import Cost, write_cost
from harness.evidence.facts import of_whole
from harness.evidence.store import RunStore, Unit
from harness.inputs.corruptions.attack import Corruption
from harness.inputs.samples import Slice
from harness.inputs.suite import Suite
from harness.measure.bisection import Bisection
from harness.measure.chunks import Chunks, clean_pass
from harness.measure.done import Done, GivenUp
from harness.measure.lanes import CLEAN_UNIT, Lane, bisects, lane_units, needs, rows_of
from harness.measure.meter import Meter
from harness.measure.trail import Trail
from harness.measure.unit.compute import run_unit
from harness.measure.unit.corrupt import run_corruption
from harness.measure.unit.interim import Interim
from harness.measure.unit.job import Job, Setting, UnitResult
from harness.measure.unit.shared import Offered
from harness.measure.unit_cache import UnitCache
from harness.types import Attack

NOTHING = 0.01
"""Seconds of work that are not worth a word when they are thrown away."""


def never() -> bool:
    """A run that nobody stops."""
    return False


class Worker:
    """Computes lanes and stores their units.

    Args:
        setting: Reference (entered), norm, mode, seed and batch size.
        suite: The suite, for its grid.
        attacks: The suite's attacks, resolved.
        part: The data slice.
        store: Where facts go.
        keep_witnesses: Whether witness images are stored.
        cache: Units that other runs have computed; None looks for none.
    """

    def __init__(
        self,
        setting: Setting,
        suite: Suite,
        attacks: Sequence[Attack],
        part: Slice,
        store: RunStore,
        keep_witnesses: bool = True,
        cache: UnitCache | None = None,
    ) -> None:
        self.cache = cache
        self.setting, self.suite, self.attacks, self.part, self.store = setting, suite, attacks, part, store
        self.keep_witnesses = keep_witnesses
        self._chunks = Chunks(setting, suite, part, self._clean_facts)
        self._trail: Trail | None = None
        self._interim: Interim | None = None
        self.given_up: list[GivenUp] = []
        """Units within which the run ended, with what is thrown away."""

    def run(self, lane: Lane, stop: Callable[[], bool] = never) -> Iterator[Done]:
        """Compute what is not on disk yet, unit by unit; `stop` is asked before each, and within between two calls."""
        for place in range(len(self.units(lane))):
            done = self.known(lane, place)
            if done is None:
                if stop():
                    return
                answer = self.try_to(lane, place, stop)
                if isinstance(answer, GivenUp):
                    self.note(answer)
                    return
                done = answer
            yield done

    def try_to(self, lane: Lane, place: int, stop: Callable[[], bool] = never) -> Done | GivenUp:
        """`compute` the lane's unit number `place`, unless the run ends within it."""
        self._interim = None
        try:
            return self.compute(lane, place, stop)
        except Halted as halted:
            unit, seconds = self.units(lane)[place][0], self._interim.unsaved if self._interim is not None else 0.0
            return GivenUp(unit, halted.component, halted.restart, seconds, halted.whole)
        finally:
            self._interim = None

    def on_disk(self, lanes: Iterable[Lane], there: Collection[Unit]) -> Iterator[Done]:
        """The units of `lanes` that are on disk and not `there`, as after an executor that was stopped early."""
        for lane in lanes:
            for place, (unit, _) in enumerate(self.units(lane)):
                if unit not in there and (done := self.known(lane, place)) is not None:
                    yield done

    def note(self, given_up: GivenUp) -> None:
        """Say, and keep for run.json, what is thrown away."""
        if given_up.seconds >= NOTHING and given_up.unit.attack != facts.CLEAN:
            self.given_up.append(given_up)
            self.store.event("budget", "info", str(given_up))

    def elsewhere(self, setting: Setting) -> Worker:
        """The same worker with a setting of its own, as another process has one, and nothing loaded."""
        other = copy.copy(self)
        other.setting = setting
        other._chunks = Chunks(setting, self.suite, self.part, other._clean_facts)
        other._trail = other._interim = None
        return other

    def forget(self) -> None:
        """Drop what is kept of the last chunk and lane; it is loaded again when it is needed."""
        self._chunks.forget()
        self._trail = None

    def units(self, lane: Lane) -> list[tuple[Unit, tuple[Epsilon, ...]]]:
        """The lane's units, in order, each with the epsilons it covers."""
        return lane_units(self.suite, self.attacks, lane)

    def needs(self, lane: Lane) -> list[Lane]:
        """The lanes that must be finished before this one begins."""
        return needs(self.suite, self.attacks, lane, len(self.part.indices))

    def ids(self, lane: Lane) -> np.ndarray:
        """Sample ids of a lane, int64."""
        return self.part.ids(lane.chunk)[rows_of(self.suite, lane)]

    def known(self, lane: Lane, place: int) -> Done | None:
        """The lane's unit number `place`, if it is on disk; facts that are not that unit's are set aside."""
        unit, grid = self.units(lane)[place]
        found = self.store.facts_of(unit)
        if found is None:
            return None
        if not _fits(found, unit, grid, self.ids(lane)):
            self.store.set_aside(unit, "holds other samples or epsilons")
            return None
        done = Done(unit, found, None)
        if self._trail is not None and self._trail.leads_to(lane, place):
            self._follow(self._trail, done, grid)
        return done

    def compute(self, lane: Lane, place: int, stop: Callable[[], bool] = never) -> Done:
        """Compute and store the lane's unit number `place`; the ones before it are on disk.

        Raises:
            Halted: the time was over, or the run was to `stop`; what was finished before is kept.
        """
        unit, grid = self.units(lane)[place]
        with self.store.running(unit, now()):
            if lane.attack is None:
                return self._clean(lane.chunk)
            trail = self._trail_to(lane, place)
            attack, spec = self.attacks[lane.attack], self.suite.attacks[lane.attack]
            chunk = self._chunks.of(lane, unit.chunk)
            job = Job(
                setting=self.setting,
                attack=attack,
                spec=spec,
                grid=grid,
                chunk=chunk,
                before=trail.before,
                stored=trail.stored,
                stop=stop,
                offered=trail.offered,
            )
            if trail.halves is not None:
                at = self.suite.grid.index(grid[-1])
                job = replace(job, before=trail.halves.before(at), implied=trail.halves.implied(at), stored=None)
            key = self._key(job, lane)
            result = self._reused(job, unit, key) or self._run(job, unit, key)
        if result.log.strip():
            self.store.log(f"--- {unit.filename}\n{result.log}")
        done = Done(unit, result.facts, result)
        self._follow(trail, done, grid)
        return done

    def _run(self, job: Job, unit: Unit, key: str) -> UnitResult:
        """Compute a unit and store facts, witnesses and cost."""
        meter = Meter(self.setting.reference.device)
        self._interim = interim = Interim(self.store.folder, unit.filename, key) if key else None
        result = run_corruption(job) if isinstance(job.attack, Corruption) else run_unit(replace(job, interim=interim))
        useful = result.useful if MODES[self.setting.mode].judges == "queries" else None
        backwards = int(pc.sum(of_whole(result.facts)["backwards"]).as_py())
        seconds, peak = meter.read()
        cost = Cost(
            seconds=seconds + (interim.spent if interim is not None else 0.0),
            peak_memory=peak,
            backwards=backwards,
            useful=useful,
            unconfirmed=result.unconfirmed,
            again=result.again,
            out_of_memory=result.out_of_memory,
            findings=tuple(result.findings),
        )
        write_cost(self.store.folder, unit.filename, cost)
        self.store.write(unit, result.facts, result.witnesses if self.keep_witnesses else None)
        if self.cache is not None:
            self.cache.keep(key, unit, self.store, result, cost)
        return result

    def _reused(self, job: Job, unit: Unit, key: str) -> UnitResult | None:
        """The unit as an earlier run of the results folder computed it."""
        if self.cache is None:
            return None
        known = self.cache.fetch(
            key, unit, self.store, lambda found: _fits(found, unit, job.grid, job.chunk.sample_ids)
        )
        if known is None:
            return None
        result, cost = known
        write_cost(self.store.folder, unit.filename, replace(cost, reused=True))
        return result

    def _key(self, job: Job, lane: Lane) -> str:
        """What names the unit in the cache; nothing without one."""
        if self.cache is None:
            return ""
        clean = self.known(Lane(None, lane.chunk), 0)
        rows = rows_of(self.suite, lane)
        known = clean.facts.slice(rows.start, rows.stop - rows.start) if clean is not None else facts.empty()
        return self.cache.key(job, known)

    def _trail_to(self, lane: Lane, place: int) -> Trail:
        """What the units before `place` hand on: remembered, or read from the disk if another worker computed them."""
        if self._trail is None or not self._trail.leads_to(lane, place):
            halves = bisects(self.suite, self.attacks, lane)
            known = Bisection.over(len(self.ids(lane)), len(self.suite.grid)) if halves else None
            self._trail = Trail(lane=lane, offered=self._offered(lane), halves=known)
            for earlier in range(place):
                self._there(lane, earlier)
        return self._trail

    def _there(self, lane: Lane, place: int) -> Done:
        """The lane's unit number `place`, which must be on disk."""
        done = self.known(lane, place)
        if done is None:
            name = self.units(lane)[place][0].filename
            raise BadRun(f"{self.store.folder}: {name} vanished while the run went on; start it again")
        return done

    def _offered(self, lane: Lane) -> Offered | None:
        """What the lanes that this one needs have broken of its samples; None if they are not shared."""
        earlier = [other for other in self.needs(lane) if other.attack is not None]
        if not earlier:
            return None
        found = Offered.nothing(len(self.part.ids(lane.chunk)))
        for other in earlier:
            at, n = rows_of(self.suite, other).start, len(self.ids(other))
            for place in range(len(self.units(other))):
                found.take(self._there(other, place).facts, at, n)
        return found.of_rows(rows_of(self.suite, lane))

    def _follow(self, trail: Trail, done: Done, grid: Sequence[Epsilon]) -> None:
        """Take a unit's outcome into the trail of its lane."""
        lane = trail.lane
        if lane.attack is not None:
            inherits = MODES[self.setting.mode].inherits_of(self.attacks[lane.attack])
            at = self.suite.grid.index(grid[-1])
            trail.take(done.facts, len(self.ids(lane)), grid[-1].value, at, inherits)

    def _clean(self, index: int) -> Done:
        found = clean_pass(self.setting, self.part, index)
        unit = Unit(facts.CLEAN, CLEAN_UNIT, index)
        self.store.write(unit, found, None)
        return Done(unit, found, UnitResult(facts=found, witnesses=pa.table({})))

    def _clean_facts(self, index: int) -> pa.Table:
        return (self.known(Lane(None, index), 0) or self._clean(index)).facts


def _fits(found: pa.Table, unit: Unit, grid: Sequence[Epsilon], ids: np.ndarray) -> bool:
    """Whether facts are those of the unit: its attack, and each of its samples once at each of its epsilons."""
    whole = of_whole(found)
    epsilons = np.array([epsilon.value for epsilon in grid] or [0.0])
    return (
        pc.unique(found["attack"]).to_pylist() == [unit.attack]
        and np.array_equal(whole["sample_id"].to_numpy(), np.tile(ids, len(epsilons)))
        and np.array_equal(whole["epsilon"].to_numpy(), np.repeat(epsilons, len(ids)))
    )
