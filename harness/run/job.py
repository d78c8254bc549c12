"""The main job: one model, one suite, one data slice, from the registry to a summary on disk."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
from torch import Tensor, nn

from harness.base.deadline import Deadline
from harness.base.machine import pick_device
from harness.base.memory import little_to_search
from harness.base.torch_state import changed_buffers, snapshot
from harness.errors import BadRun
from harness.evidence import findings
from harness.evidence.costs import add_up, fold_costs, notes_of
from harness.evidence.facts import CLEAN
from harness.evidence.plan_info import ThrownAway
from harness.evidence.pool import find_runs, named_run
from harness.evidence.run_info import RunInfo
from harness.evidence.store import RunStore, Unit
from harness.evidence.summary import summarize
from harness.inputs.adaptations import resolve
from harness.inputs.find import find_model
from harness.inputs.fingerprint import FILE, read
from harness.inputs.outputs import fitted
from harness.inputs.prefixes import check_after
from harness.inputs.reference import ReferenceModel
from harness.inputs.registry import Registry
from harness.inputs.samples import make_slice
from harness.inputs.suite import Suite
from harness.measure.adapted.prepare import adapted_copies
from harness.measure.constancy import Constancy
from harness.measure.executors import Executor
from harness.measure.lanes import all_lanes
from harness.measure.unit.isolation import Guard
from harness.measure.unit.job import GRID, Setting
from harness.measure.unit_cache import UnitCache
from harness.measure.worker import Worker
from harness.run.budget import LEAVING, Around, missing
from harness.run.manifest import describe
from harness.run.options import Options, check, check_draws
from harness.run.plan import make_plan
from harness.run.preflight import check_data, check_model, check_pools, check_repeats, refuse_unfit
from harness.run.progress import Reporter, Silent
from harness.run.recognize import fingerprint, other_code, recognize
from harness.run.resume import Earlier, drop_given_up, take_over
from harness.run.rounds import Rounds, guarded
from harness.run.session import Known, Session
from harness.trust.diagnosis import verdict
from harness.trust.diagnosis.transfer import transfer
from harness.types import Dataset, Finding, LoadedModel

__all__ = ["Options", "Reporter", "Run", "Silent", "evaluate"]


@dataclass
class Run:
    """A run on disk."""

    folder: Path
    info: RunInfo
    summary: dict[str, Any]
    facts: pa.Table = field(repr=False)

    @property
    def complete(self) -> bool:
        """Whether every cell has a number."""
        return all(cell["status"] == "ok" for cell in self.summary["cells"]) and self.info.status == "complete"


def evaluate(
    model: LoadedModel,
    suite: Suite,
    data: Dataset,
    options: Options | None = None,
    reporter: Reporter | None = None,
    known: Known | None = None,
) -> Run:
    """Measure `model` under every attack of `suite`; starting again with the same arguments continues.

    Args:
        model: The loaded model.
        suite: The suite, its grid and mode set.
        data: The data set.
        options: How to run.
        reporter: Told of progress.
        known: What a run with fewer attacks, just before this one, already knows; None asks everything.

    Raises:
        UsageError: unusable options, or no such executor.
        BadData: images outside [0,1], or labels that are no class.
        BadSuite: no attack can work on images of this size, or an attack's n does not fit the slice.
        BadRun: the results folder cannot be written, another process writes this run, or what an earlier start left of
            it cannot be continued here; what was finished is on disk.
        ModelRefused: the doctor finds the model mis-wired; ``options.force`` overrules it where it can be overruled.
    """
    entered = time.monotonic()
    options, reporter = options or Options(), reporter or Silent()
    begun = entered if options.begun is None else options.begun
    deadline = Deadline(options.budget, begun)
    check(options, suite)
    execute: Executor = Registry("executors").load(options.executor)
    model = fitted(model, data)
    check_data(model, data)
    attacks = suite.resolve()
    places = tuple(place.resolve() for place in (*options.transfer, options.results))
    adapted = resolve(suite.attacks, find_model, partial(named_run, places=places))
    refuse_unfit(suite, attacks, data)
    device = pick_device(options.device)
    others = find_runs(options.transfer)
    part = make_slice(data, options.n, suite.chunk, options.ids)
    suite.counts(len(part.indices))
    check_after(suite.name, suite.attacks, attacks, suite.mode)
    draws = check_draws(options, model.card, suite)
    session = Session.of(describe(model, suite, attacks, part, options, device, adapted, draws))
    here = session.described
    check_pools(here, adapted)
    pieces = {spec.id: suite.chunk // spec.chunk for spec in suite.attacks if spec.chunk}
    store, print_ = RunStore(options.results / here.run_name, pieces), None
    if not store.folder.is_dir():
        if line := other_code(options.results, here):
            reporter.say(line)
    elif not options.fresh:
        RunStore.create(options.results, here.run_name)
        with store.locked(), ReferenceModel(model, device) as reference:
            print_, line = recognize(store, reference, part, suite)
        if line:
            reporter.say(line)
            session.note(Finding("identity", "info", line))
    check_model(model, data, session, options, device, draws, None if known is None else known.report)
    for note in () if known is None else known.notes:
        session.note(note)
    RunStore.create(options.results, here.run_name)
    with store.locked(), ReferenceModel(model, device) as reference:
        if options.fresh:
            store.clear()
        print_ = print_ or fingerprint(reference, part, suite)
        earlier = take_over(store, session)
        check_repeats(session, print_)
        if read(store.folder / FILE) is None:
            print_.save(store.folder / FILE)
        copies = adapted_copies(reference, suite.attacks, adapted, part.take(0)[0])
        plan, copy = make_plan(session, reference, part, suite, options, deadline)
        reference.batch_size = plan.batch_size
        looking = time.monotonic()
        constancy = None if deadline.over else Constancy(reference, *part.take(0))
        ready = time.monotonic()
        around = Around(before=ready - begun, after=(ready - looking) + LEAVING * (entered - begun))
        deadline.reserve(around.after)
        attacked = [reference.module, *([copy] if copy is not None else []), *(one.network for one in copies.values())]
        setting = Setting(
            reference=reference, norm=suite.norm, mode=suite.mode, seed=options.seed,
            batch_size=plan.batch_size, unit_timeout=options.unit_timeout, deadline=deadline, copy=copy, draws=draws,
            adapted=copies, places=places, guard=Guard(*attacked),
        )  # fmt: skip
        info = session.described
        local = msgspec.structs.replace(info, versions=here.versions, device=here.device)
        reusable = None if not options.fresh else known.attacks if known is not None else ()
        cache = UnitCache(options.results, local, print_, reusable)
        worker = Worker(setting, suite, attacks, part, store, info.witnesses != "none", cache)
        with little_to_search():
            return _run(worker, session, reporter, execute, options, others, earlier, constancy, around)


def _run(
    worker: Worker,
    session: Session,
    reporter: Reporter,
    execute: Executor,
    options: Options,
    others: Sequence[Path],
    before: Earlier,
    constancy: Constancy | None,
    around: Around,
) -> Run:
    store, suite = worker.store, worker.suite
    rounds = Rounds(worker, session)
    if before.patient:
        n = len(worker.part.indices)
        every = all_lanes(suite, n, (n,) * len(suite.attacks))
        drop_given_up(store, every, lambda lane: [unit for unit, _ in worker.units(lane)], worker.needs)
    begun, earlier = time.monotonic(), session.seconds
    attacked = [worker.setting.reference.module, *([worker.setting.copy] if worker.setting.copy is not None else [])]
    buffers = [(module, snapshot(module)) for module in attacked]
    session.sessions += 1
    store.write_plan(session.info)
    store.write_info(session.info)
    reporter.started(session.info, len(rounds.units))
    tables: list[pa.Table] = []
    there: set[Unit] = set()
    measured = 0
    deadline = worker.setting.deadline
    try:
        while True:
            running = execute(worker, rounds.lanes, lambda: reporter.stop() or deadline.over, options.scale)
            for done in chain(guarded(running), worker.on_disk(rounds.lanes, there)):
                there.add(done.unit)
                tables.append(done.facts)
                if done.result is not None:
                    measured += not done.result.reused
                    if before.other and session.note(before.finding()):
                        store.write_info(session.info)
                reporter.finished(done)
            if len(there) < len(rounds.units) or rounds.over(tables):
                break
            reporter.grown(len(rounds.units))
        units = rounds.units
        if len(there) == len(units) and (gone := store.missing(units)):
            raise BadRun(f"{len(gone)} finished units vanished from {store.folder}, {gone[0]} first; start it again")
        session.status = "complete" if len(there) == len(units) else "interrupted"
    except BaseException as error:
        session.status = "interrupted"
        if isinstance(error, BadRun):  # the disk is full, or the folder gone: run.json may not be writable either
            with contextlib.suppress(BadRun):
                _end(session, worker, buffers, there, earlier + time.monotonic() - begun)
        else:
            _end(session, worker, buffers, there, earlier + time.monotonic() - begun)
        raise
    late = deadline.over
    if there and measured < len(there):
        rest = "nothing was measured now; --fresh measures again" if not measured else f"{measured} were measured now"
        reporter.say(f"read from disk: {len(there) - measured} of {len(units)} units of {store.folder}; {rest}")
    session.compute = fold_costs(store.folder, _places(suite, [unit for unit in units if unit in there]))
    if len(there) < len(units) and late:
        session.findings.append(missing(store, session.info, units, there, around, worker.given_up))
    found = rounds.kept(tables)
    if others and session.status == "complete":
        told = transfer(worker.setting.reference, worker.part, session.info, found, others, deadline)
        session.findings = [old for old in session.findings if old.check != "P26"] + told
    if constancy is not None and (changed := constancy.finding()) is not None:
        session.findings.append(changed)
    _end(session, worker, buffers, there, earlier + time.monotonic() - begun)
    info = session.info
    if info.status == "complete" and info.witnesses == "worst":
        store.thin_witnesses(worker.part.chunks)
    summary = summarize(info, found, *verdict(info, found))
    store.write_json("summary.json", summary)
    return Run(store.folder, info, summary, found)


def _places(suite: Suite, units: Iterable[Unit]) -> list[tuple[str, str, str]]:
    """File name, attack and epsilon label of units; one that covers the whole grid is paid for at its last epsilon."""
    last = suite.grid[-1].label
    attacks = [unit for unit in units if unit.attack != CLEAN]
    return [(unit.filename, unit.attack, last if unit.epsilon == GRID else unit.epsilon) for unit in attacks]


def _thrown_away(worker: Worker) -> Iterator[ThrownAway]:
    for one in worker.given_up:
        ((_, attack, label),) = _places(worker.suite, [one.unit])
        yield ThrownAway(
            attack=attack, epsilon_label=label, component=one.component, times=1, seconds=round(one.seconds, 3)
        )


def _end(
    session: Session,
    worker: Worker,
    buffers: Sequence[tuple[nn.Module, dict[str, Tensor]]],
    there: Iterable[Unit],
    seconds: float,
) -> None:
    """Write into run.json what happened."""
    session.notes = notes_of(worker.store.folder, sorted(unit.filename for unit in there))
    session.thrown_away = add_up([*(session.thrown_away or ()), *_thrown_away(worker)])
    for finding in session.notes.findings:
        session.note(finding)
    session.findings.extend(worker.store.events)
    changed = [name for module, before in buffers for name in changed_buffers(before, module)]
    for name in changed[:1]:
        message = f"measuring changed buffer {name}, so the units were not attacked on one model; start over"
        session.findings.append(findings.found("P4", "error", message))
    session.end(seconds)
    worker.store.write_info(session.info)
