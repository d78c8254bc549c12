"""The local executor: one worker in this process, one lane after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from harness.worker import Done, Lane, Worker


def run(worker: Worker, lanes: Sequence[Lane], stop: Callable[[], bool]) -> Iterator[Done]:
    """Compute `lanes` in order and yield every unit once it is on disk; `stop` is asked before each unit."""
    for lane in lanes:
        if stop():
            return
        yield from worker.run(lane, stop)
