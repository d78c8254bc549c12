"""Ray actors for the workers of a run: on a cluster of the user's, or on one that is started here and taken down."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch

from harness.errors import HarnessError, MissingPackage, UsageError
from harness.measure.executors.remote import Greeting, Parcel, Remote, homeless, pack
from harness.measure.lanes import Lane
from harness.measure.worker import Worker
from harness.types import Scale

LEAVING = 0.1
"""What taking a cluster down takes of what starting it took, and more than that."""


def imported() -> Any:
    """Ray; raises MissingPackage."""
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


@contextmanager
def cluster(ray: Any, worker: Worker, scale: Scale) -> Iterator[list[Hand]]:
    """Workers on the cluster of `scale`, or on one that is started here; all are gone afterwards."""
    gpu = worker.setting.reference.device.type == "cuda"
    gpus = (1.0 if scale.gpus_per_worker is None else scale.gpus_per_worker) if gpu else 0.0
    if scale.gpus_per_worker and not gpu:
        raise UsageError("--gpus-per-worker needs a GPU: the run's device is cpu")
    cpus = 1 if gpu else torch.get_num_threads()
    ours = not ray.is_initialized()
    if ours:
        begun = time.monotonic()
        connect(ray, scale, cpus)
        worker.setting.deadline.reserve(LEAVING * (time.monotonic() - begun))
    crew: list[Hand] = []
    try:
        count = scale.workers or _room(ray, cpus, gpus)
        parcel = _send(ray, worker)
        actor = ray.remote(_Actor).options(num_cpus=cpus, num_gpus=gpus, max_restarts=-1, max_task_retries=0)
        crew.extend(Hand(actor=actor.remote(), parcel=parcel) for _ in range(count))
        if gpu:
            torch.cuda.empty_cache()  # the driver's share of the card goes to a worker
        yield crew
    finally:
        for hand in crew:
            with suppress(Exception):  # Ray may be gone already
                ray.kill(hand.actor)
        if ours:
            ray.shutdown()


def connect(ray: Any, scale: Scale, cpus: int) -> None:
    """Join the cluster of `scale`, or start one here; raises UsageError if that cannot be."""
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
class Hand:
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
