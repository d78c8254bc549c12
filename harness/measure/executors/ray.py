"""``--executor ray``: the units of a run on the GPUs of one machine or of a cluster, by Ray (https://ray.io).

Each worker is a Ray actor that holds the model; the driver hands units out one by one
(`harness.measure.executors.schedule`) and gets their facts back. A worker that dies is started again by
Ray, its unit is given to whoever asks next.
"""

from __future__ import annotations

import os
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch

from harness.errors import BadRun, HarnessError, MissingPackage, UsageError
from harness.evidence import findings
from harness.measure.done import Done, GivenUp
from harness.measure.executors.remote import Failed, Greeting, Parcel, Remote, homeless, pack
from harness.measure.executors.schedule import Schedule, Task
from harness.measure.lanes import Lane
from harness.measure.worker import Worker
from harness.types import Finding, Scale

LEAVING = 0.1
"""What taking a cluster down takes of what starting it took, and more than that."""
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
    return _run(_import(), worker, lanes, stop, scale)


def _check(scale: Scale) -> None:
    if scale.workers is not None and scale.workers < 1:
        raise UsageError(f"--workers {scale.workers} must be at least 1")
    if scale.gpus_per_worker is not None and not 0 <= scale.gpus_per_worker < 1024:
        raise UsageError(
            f"--gpus-per-worker {scale.gpus_per_worker:g} is no number of GPUs; write for instance 1 or 0.5"
        )


def _import() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # by default workers yield to all else on the machine
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import ray
    except ImportError:
        raise MissingPackage("--executor ray needs Ray: pip install 'robustness-harness[ray]'") from None
    return ray


def _run(ray: Any, worker: Worker, lanes: Sequence[Lane], stop: Callable[[], bool], scale: Scale) -> Iterator[Done]:
    if stop():
        return  # no cluster for nothing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's, about itself
        with _cluster(ray, worker, scale) as crew:
            yield from _Drive(ray, worker, lanes, crew).units(stop)


@contextmanager
def _cluster(ray: Any, worker: Worker, scale: Scale) -> Iterator[list[_Hand]]:
    """Workers on the cluster of `scale`, or on one that is started here; all are gone afterwards."""
    gpu = worker.setting.reference.device.type == "cuda"
    gpus = (1.0 if scale.gpus_per_worker is None else scale.gpus_per_worker) if gpu else 0.0
    if scale.gpus_per_worker and not gpu:
        raise UsageError("--gpus-per-worker needs a GPU: the run's device is cpu")
    cpus = 1 if gpu else torch.get_num_threads()
    ours = not ray.is_initialized()
    if ours:
        begun = time.monotonic()
        _connect(ray, scale, cpus)
        worker.setting.deadline.reserve(LEAVING * (time.monotonic() - begun))
    crew: list[_Hand] = []
    try:
        count = scale.workers or _room(ray, cpus, gpus)
        parcel = _send(ray, worker)
        actor = ray.remote(_Actor).options(num_cpus=cpus, num_gpus=gpus, max_restarts=-1, max_task_retries=0)
        crew.extend(_Hand(actor=actor.remote(), parcel=parcel) for _ in range(count))
        if gpu:
            torch.cuda.empty_cache()  # the driver's share of the card goes to a worker
        yield crew
    finally:
        for hand in crew:
            with suppress(Exception):  # Ray may be gone already
                ray.kill(hand.actor)
        if ours:
            ray.shutdown()


def _connect(ray: Any, scale: Scale, cpus: int) -> None:
    local: dict[str, Any] = {"include_dashboard": False}
    if scale.workers:  # more workers than cores are slow, but what was asked for
        local["num_cpus"] = max(os.cpu_count() or 1, scale.workers * cpus)
    options = local if scale.address is None else {"address": scale.address}
    try:
        ray.init(log_to_driver=False, logging_level="ERROR", **options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = f"Ray cluster {scale.address!r}" if scale.address else "a local Ray cluster"
        raise UsageError(f"{where} cannot be reached or started: {' '.join(str(error).split())[:200]}") from None


def _room(ray: Any, cpus: int, gpus: float) -> int:
    """How many workers fit into the cluster."""
    there = ray.cluster_resources()
    if gpus:
        room = int(there.get("GPU", 0) / gpus + 1e-6)
        what = f"{there.get('GPU', 0):g} GPUs, a worker needs {gpus:g}"
    else:
        room = int(there.get("CPU", 0) // cpus)
        what = f"{there.get('CPU', 0):g} CPUs, a worker needs {cpus}"
    if room < 1:
        raise UsageError(f"the Ray cluster has {what}; give it more, or name --workers and --gpus-per-worker")
    return room


def _send(ray: Any, worker: Worker) -> Any:
    """The parcel in the object store, as bytes, so that a worker can say what it cannot unpack; and where to import."""
    import sys

    from ray import cloudpickle

    strangers = homeless(worker.setting.reference.module, sys.modules)
    for module in strangers:
        cloudpickle.register_pickle_by_value(module)
    try:
        content = cloudpickle.dumps(pack(worker, worker.store.read_json("plan.json")["key"]))
        return ray.put((content, [os.path.abspath(path) for path in sys.path]))
    except Exception as error:  # whatever a stranger's class raises when it is pickled
        if isinstance(error, HarnessError):
            raise
        raise UsageError(
            f"model {worker.setting.reference.name!r} cannot be sent to workers ({type(error).__name__}:"
            f" {str(error)[:200]}); use --executor local"
        ) from None
    finally:
        for module in strangers:
            cloudpickle.unregister_pickle_by_value(module)


class _Actor:
    """`Remote` in a Ray actor; every call brings the reference to the parcel, so that a restarted one needs no more."""

    def __init__(self) -> None:
        self._remote: Remote | None = None

    def born(self) -> bool:
        """Answers as soon as the process is there, before the model is."""
        return True

    def do(self, parcel: Sequence[Any], what: str, *arguments: Any) -> Any:
        """Call a method of the worker; `parcel` is a list of one reference, which Ray then leaves alone."""
        if self._remote is None:
            self._remote = Remote(lambda: _unpack(parcel[0]))
        return getattr(self._remote, what)(*arguments)


def _unpack(reference: Any) -> Parcel:
    import pickle
    import sys

    import ray

    content, paths = ray.get(reference)
    sys.path.extend(path for path in paths if path not in sys.path)
    parcel: Parcel = pickle.loads(content)  # sent by our own driver
    return parcel


@dataclass(eq=False, kw_only=True)
class _Hand:
    """A worker as the driver knows it."""

    actor: Any
    parcel: Any
    last: Lane | None = None
    at: Greeting | None = None
    loading: bool = False
    """Whether it was there and has been asked to load the model."""
    falls: int = 0
    """How often in turn it died while it started or loaded the model."""

    def ask(self, what: str, *arguments: Any) -> Any:
        """Start a method of `Remote` there; the reference to its answer."""
        return self.actor.do.remote([self.parcel], what, *arguments)


class _Drive:
    """The driver's loop."""

    def __init__(self, ray: Any, worker: Worker, lanes: Sequence[Lane], crew: Sequence[_Hand]) -> None:
        self.ray, self.worker = ray, worker
        self.schedule = Schedule(lanes, lambda lane: len(worker.units(lane)), worker.needs)
        self.idle: list[_Hand] = []
        self.pending: dict[Any, tuple[_Hand, Task | None]] = {hand.actor.born.remote(): (hand, None) for hand in crew}
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

    def _met(self, hand: _Hand, greeting: Greeting) -> None:
        hand.at, hand.loading, hand.falls = greeting, False, 0
        known = self.worker.setting.reference.device
        if greeting.device not in self.hardware:
            self.hardware.add(greeting.device)
            if len(self.hardware) == 2:
                names = " and ".join(sorted(self.hardware))
                self.worker.store.event(
                    "hardware", "warn", f"units were computed on {names} ({known.type}); facts may differ by rounding"
                )

    def _lost(self, hand: _Hand, task: Task | None, error: Exception) -> None:
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
