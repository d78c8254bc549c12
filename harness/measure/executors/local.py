"""The local executor: one worker in this process, one lane after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from harness.errors import UsageError
from harness.measure.done import Done
from harness.measure.lanes import Lane
from harness.measure.worker import Worker
from harness.types import Scale


def run(worker: Worker, lanes: Sequence[Lane], stop: Callable[[], bool], scale: Scale) -> Iterator[Done]:
    """Compute `lanes` in order and yield every unit once it is on disk; `stop` is asked before each unit.

    Raises:
        UsageError: `scale` asks for more than this process.
    """
    if scale.workers not in (None, 1) or scale.gpus_per_worker is not None or scale.address is not None:
        raise UsageError("the local executor is one worker in this process; for more of them add --executor ray")
    return _run(worker, lanes, stop)


def _run(worker: Worker, lanes: Sequence[Lane], stop: Callable[[], bool]) -> Iterator[Done]:
    for lane in lanes:
        if stop():
            return
        yield from worker.run(lane, stop)
