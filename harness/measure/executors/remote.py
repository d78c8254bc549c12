"""What a worker in another process needs, and what it does there; nothing here knows who moves the bytes.

The model travels as it is in memory, on the CPU. Classes of a file that only the driver has (``file.py:function``)
travel with it, those of installed packages by name. Facts and witnesses are written where they are found, so the
results folder must lie on a file system that all machines share.
"""

from __future__ import annotations

import copy
import os
import socket
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import nn

from harness.base.machine import device_name, versions
from harness.base.memory import little_to_search
from harness.base.torch_state import changed_buffers, snapshot
from harness.errors import BadRun, HarnessError, UsageError
from harness.evidence import witnesses
from harness.evidence.pool import named_run
from harness.evidence.store import RunStore
from harness.inputs.adaptations import resolve
from harness.inputs.find import find_model
from harness.inputs.identity import BROUGHT
from harness.inputs.reference import ReferenceModel
from harness.measure.adapted.prepare import adapted_copies
from harness.measure.constancy import Constancy
from harness.measure.done import Done, GivenUp
from harness.measure.fast_copy.calibrate import make_copy
from harness.measure.fast_copy.copies import CopyRecipe
from harness.measure.lanes import Lane
from harness.measure.unit.isolation import Guard
from harness.measure.worker import Worker
from harness.types import Finding, LoadedModel


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """A worker without its model's device: everything that is sent, once for each machine."""

    model: LoadedModel
    worker: Worker
    device: str
    threads: int
    key: str
    versions: dict[str, str]
    recipe: CopyRecipe
    """How the copy that is attacked is made; every worker makes its own."""


@dataclass(frozen=True)
class Greeting:
    """A worker that is ready."""

    host: str
    pid: int
    device: str
    """The hardware, in words."""


@dataclass(frozen=True)
class Failed:
    """What went wrong in a worker, in one line; `trace` is empty where the user can mend it."""

    message: str
    trace: str = ""


def pack(worker: Worker, key: str) -> Parcel:
    """The parcel for workers like `worker`, whose run has this key.

    Raises:
        UsageError: not enough memory for a copy of the model on the CPU.
    """
    reference = worker.setting.reference
    module = reference.module
    if reference.device.type != "cpu":
        module = copy.deepcopy(module).cpu()
    recipe = worker.setting.copy.recipe if worker.setting.copy is not None else CopyRecipe()
    # Each worker enters its own reference, makes its own copies, and is told with every unit how much time is left.
    setting = replace(worker.setting, reference=None, copy=None, adapted={}, guard=None)  # type: ignore[arg-type]
    bare = worker.elsewhere(setting)
    bare.store = RunStore(worker.store.folder.resolve(), worker.store.pieces)
    return Parcel(
        model=replace(reference.loaded, module=module),
        worker=bare,
        device=reference.device.type,
        threads=torch.get_num_threads() if reference.device.type == "cpu" else 0,
        key=key,
        versions=versions(),
        recipe=recipe,
    )


def homeless(module: nn.Module, modules: dict[str, ModuleType]) -> list[ModuleType]:
    """Python modules of `module`'s classes, and beside a user's file, that another process could not import by name."""
    names = {type(part).__module__ for part in module.modules()}
    brought = {name for name, there in list(modules.items()) if BROUGHT in getattr(there, "__dict__", {})}
    lost = {name for name in names if name in modules and not _importable(name)}
    return [modules[name] for name in sorted(brought | lost)]


def _importable(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


class Remote:
    """Runs in the other process. Nothing is raised: what goes wrong comes back as `Failed`.

    Args:
        load: Gives the parcel.
    """

    def __init__(self, load: Callable[[], Parcel]) -> None:
        self._load = load
        self._worker: Worker | None = None
        self._entered = ExitStack()  # for as long as the process lives
        self._buffers: dict[str, torch.Tensor] = {}
        self._constancy: Constancy | None = None

    def hello(self) -> Greeting | Failed:
        """Load the model and say where this is."""
        greeting: Greeting | Failed = self._try(self._greet)
        return greeting

    def compute(self, lane: Lane, place: int, left: float | None) -> Done | GivenUp | Failed:
        """Compute and store one unit; its facts come back, its witnesses stay on disk.

        Args:
            lane: The lane.
            place: Number of the unit in it.
            left: Seconds until the run is to end; None for no end. Clocks of machines need not agree.
        """

        def within(worker: Worker) -> Done | GivenUp:
            worker.setting.deadline.set(left)
            answer = worker.try_to(lane, place)
            worker.setting.deadline.set(None)
            return _lighter(answer) if isinstance(answer, Done) else answer

        done: Done | GivenUp | Failed = self._try(within)
        return done

    def changed(self) -> list[str] | Failed:
        """Buffers of the model that measuring changed."""
        names: list[str] | Failed = self._try(
            lambda worker: changed_buffers(self._buffers, worker.setting.reference.module)
        )
        return names

    def drifted(self) -> Finding | Failed | None:
        """What `harness.measure.constancy.Constancy` finds of this worker's model."""
        finding: Finding | Failed | None = self._try(
            lambda _worker: self._constancy.finding() if self._constancy is not None else None
        )
        return finding

    def _try(self, what: Callable[[Worker], Any]) -> Any:
        try:
            if self._worker is None:
                self._worker = self._unpack(self._load())
            return what(self._worker)
        except HarnessError as error:
            return Failed(str(error))
        except Exception as error:  # of the model's or a plugin's code, here without the driver's surroundings
            text = (
                f"worker on {socket.gethostname()} failed: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
            )
            return Failed(text, traceback.format_exc())

    def _greet(self, worker: Worker) -> Greeting:
        return Greeting(socket.gethostname(), os.getpid(), device_name(worker.setting.reference.device))

    def _unpack(self, parcel: Parcel) -> Worker:
        _same_versions(parcel.versions)
        worker = parcel.worker
        _same_folder(worker.store, parcel.key)
        if parcel.threads:
            torch.set_num_threads(parcel.threads)
        device = torch.device("cuda", 0) if parcel.device == "cuda" else torch.device(parcel.device)
        reference = self._entered.enter_context(ReferenceModel(parcel.model, device, worker.setting.batch_size))
        images, labels = worker.part.take(0)
        self._constancy = Constancy(reference, images, labels)
        copied = make_copy(reference, parcel.recipe, images)
        specs, find_run = worker.suite.attacks, partial(named_run, places=worker.setting.places)
        adapted = adapted_copies(reference, specs, resolve(specs, find_model, find_run), images)
        guard = Guard(
            reference.module, *([copied] if copied is not None else []), *(one.network for one in adapted.values())
        )
        worker = worker.elsewhere(
            replace(worker.setting, reference=reference, copy=copied, adapted=adapted, guard=guard)
        )
        self._buffers = snapshot(reference.module)
        self._entered.enter_context(little_to_search())
        return worker


def _lighter(done: Done) -> Done:
    return done if done.result is None else replace(done, result=replace(done.result, witnesses=witnesses.empty()))


def _same_versions(wanted: dict[str, str]) -> None:
    here = versions()
    for name, version in wanted.items():
        if here.get(name) != version:
            raise UsageError(
                f"worker on {socket.gethostname()} has {name} {here.get(name, 'not installed')}, the driver {version};"
                " facts would not be the same: install the same versions everywhere"
            )


def _same_folder(store: RunStore, key: str) -> None:
    try:
        there = store.read_json("plan.json").get("key")
    except BadRun:
        there = None
    if there != key:
        raise BadRun(
            f"worker on {socket.gethostname()} does not see {store.folder}; results must lie on a file system that all"
            " machines share, under the same path"
        )
