"""``--executor ray``: the units of a run on the GPUs of one machine or of a cluster, by Ray (https://ray.io).

Each worker is a Ray actor that holds the model; the driver hands units out one by one
(`harness.measure.executors.schedule`) and gets their facts back. A worker that dies is started again by
Ray, its unit is given to whoever asks next.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from harness.errors import BadRun, UsageError
from harness.evidence import findings
from harness.measure.done import Done, GivenUp
from harness.measure.executors.cluster import Hand, cluster, imported
from harness.measure.executors.remote import Failed, Greeting
from harness.measure.executors.schedule import Schedule, Task
from harness.measure.lanes import Lane
from harness.measure.worker import Worker
from harness.types import Finding, Scale

POLL = 0.2
"""Seconds between two looks at Ctrl-C."""
ATTEMPTS = 3
"""How many workers one unit may take down before it is given up, and how often in turn one may die while it starts."""


def run(worker: Worker, lanes: Sequence[Lane], stop: Callable[[], bool], scale: Scale) -> Iterator[Done]:
    """Compute `lanes` on Ray actors and yield every unit once it is on disk.

    Raises:
        UsageError: `scale` cannot be had, or the model cannot be sent.
        MissingPackage: Ray is not installed.
        BadRun: units that took down every worker they ran on are left over; all others are on disk.
    """
    _check(scale)
    return _run(imported(), worker, lanes, stop, scale)


def _check(scale: Scale) -> None:
    if scale.workers is not None and scale.workers < 1:
        raise UsageError(f"--workers {scale.workers} must be at least 1")
    if scale.gpus_per_worker is not None and not 0 <= scale.gpus_per_worker < 1024:
        raise UsageError(
            f"--gpus-per-worker {scale.gpus_per_worker:g} is no number of GPUs; write for instance 1 or 0.5"
        )


def _run(ray: Any, worker: Worker, lanes: Sequence[Lane], stop: Callable[[], bool], scale: Scale) -> Iterator[Done]:
    if stop():
        return  # no cluster for nothing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's, about itself
        with cluster(ray, worker, scale) as crew:
            yield from _Drive(ray, worker, lanes, crew).units(stop)


class _Drive:
    """The driver's loop."""

    def __init__(self, ray: Any, worker: Worker, lanes: Sequence[Lane], crew: Sequence[Hand]) -> None:
        self.ray, self.worker = ray, worker
        self.schedule = Schedule(lanes, lambda lane: len(worker.units(lane)), worker.needs)
        self.idle: list[Hand] = []
        self.pending: dict[Any, tuple[Hand, Task | None]] = {hand.actor.born.remote(): (hand, None) for hand in crew}
        self.losses: Counter[Task] = Counter()
        self.given_up: list[str] = []
        self.hardware: set[str] = set()

    def units(self, stop: Callable[[], bool]) -> Iterator[Done]:
        """Every unit, once it is on disk."""
        stopping = False
        while not self.schedule.empty:
            stopping = stopping or stop()
            if not stopping:
                yield from self._hand_out(stop)
            if self.schedule.empty or (stopping and not any(task for _, task in self.pending.values())):
                break
            yield from self._collect()
        self._farewell()
        if self.given_up:
            raise BadRun(
                f"{len(self.given_up)} unit(s) took down {ATTEMPTS} workers each, {self.given_up[0]} first (out of"
                " memory? try a smaller --batch-size); all other units are on disk, the same command goes on from there"
            )

    def _hand_out(self, stop: Callable[[], bool]) -> Iterator[Done]:
        """Give every idle worker a unit; those on disk need none."""
        while self.idle:
            hand = self.idle[-1]
            task = self.schedule.take(hand.last)
            if task is None:
                return
            known = self.worker.known(task.lane, task.place)
            if known is not None:
                self.schedule.finished(task)
                yield known
            elif stop():
                self.schedule.give_back(task)
                return
            else:
                self.idle.pop()
                hand.last = task.lane
                left = self.worker.setting.deadline.left
                self.pending[hand.ask("compute", task.lane, task.place, left)] = hand, task

    def _collect(self) -> Iterator[Done]:
        """Wait a little, and take in all that is ready."""
        if not self.pending and not self.idle:
            raise BadRun(
                f"every worker died {ATTEMPTS} times while it loaded the model (out of memory? try fewer"
                " --workers); what was finished is safe on disk"
            )
        if not self.pending:
            return
        waiting = list(self.pending)
        ready, rest = self.ray.wait(waiting, num_returns=1, timeout=POLL, fetch_local=True)
        if ready and rest:
            ready += self.ray.wait(rest, num_returns=len(rest), timeout=0)[0]
        for reference in ready:
            hand, task = self.pending.pop(reference)
            try:
                answer = self.ray.get(reference)
            except self.ray.exceptions.RayError as error:
                self._lost(hand, task, error)
                continue
            if answer is True:
                hand.loading = True
                self.pending[hand.ask("hello")] = hand, None
                continue
            if isinstance(answer, Failed):
                self._failed(answer)
            self.idle.append(hand)
            if isinstance(answer, Greeting):
                self._met(hand, answer)
            elif isinstance(answer, GivenUp) and task is not None:
                self.worker.note(answer)
                self.schedule.give_back(task)
            elif task is not None:
                self.schedule.finished(task)
                yield answer

    def _met(self, hand: Hand, greeting: Greeting) -> None:
        hand.at, hand.loading, hand.falls = greeting, False, 0
        known = self.worker.setting.reference.device
        if greeting.device not in self.hardware:
            self.hardware.add(greeting.device)
            if len(self.hardware) == 2:
                names = " and ".join(sorted(self.hardware))
                self.worker.store.event(
                    "hardware", "warn", f"units were computed on {names} ({known.type}); facts may differ by rounding"
                )

    def _lost(self, hand: Hand, task: Task | None, error: Exception) -> None:
        """A worker died: Ray starts it anew, its unit goes to whoever asks next."""
        if task is None and not hand.loading and isinstance(error, self.ray.exceptions.ActorUnavailableError):
            self.pending[hand.actor.born.remote()] = hand, None  # Ray is starting it anew: nothing else has died
            return
        where = f" {hand.at.pid} on {hand.at.host}" if hand.at else ""
        what = "before its first unit"
        if task is not None:
            unit = self.worker.units(task.lane)[task.place][0].filename.removesuffix(".parquet")
            what = f"while {unit} was running, which ran again"
            self.losses[task] += 1
            if self.losses[task] >= ATTEMPTS:
                self.schedule.drop(task)
                self.given_up.append(unit)
            else:
                self.schedule.give_back(task)
        hand.falls += task is None
        hand.loading = False
        self.worker.store.event("died", "info", f"worker{where} died {what} ({type(error).__name__})")
        if hand.falls == ATTEMPTS:
            return  # the others go on without it
        self.pending[hand.actor.born.remote()] = hand, None

    def _failed(self, answer: Failed) -> None:
        if answer.trace:
            self.worker.store.log(answer.trace)
        raise BadRun(f"{answer.message}; what was finished is safe on disk")

    def _farewell(self) -> None:
        """Ask every idle worker whether measuring changed its model."""
        asked = [hand.ask(what) for hand in self.idle for what in ("changed", "drifted")]
        ready, _ = self.ray.wait(asked, num_returns=len(asked), timeout=10) if asked else ([], [])
        for reference in ready:
            with suppress(self.ray.exceptions.RayError):
                changed = self.ray.get(reference)
                if isinstance(changed, Finding):
                    self.worker.store.events.append(changed)
                elif isinstance(changed, list) and changed:
                    message = f"measuring changed buffer {changed[0]} in a worker; start over"
                    self.worker.store.events.append(findings.found("P4", "error", message))
