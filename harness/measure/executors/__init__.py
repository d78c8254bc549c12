"""Executors: who computes the lanes of a run.

An executor is a plugin of the group ``harness.executors``: a function as `Executor` describes it. It may compute
lanes anywhere and in any order that `harness.measure.worker` allows. The facts are the same,
so it is no part of a run's key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from harness.measure.done import Done
from harness.measure.lanes import Lane
from harness.measure.worker import Worker
from harness.types import Scale


class Executor(Protocol):
    """Computes what is not on disk yet and yields every unit once it is there."""

    def __call__(self, worker: Worker, lanes: Sequence[Lane], stop: Callable[[], bool], scale: Scale) -> Iterator[Done]:
        """Start.

        Args:
            worker: Can compute any unit of the run; its reference is entered.
            lanes: What to compute; each comes after those it needs (`Worker.needs`).
            stop: Asked before each unit; once it says yes, what is running is finished and nothing is begun.
            scale: What the user asked for.

        Raises:
            UsageError: `scale` asks for what this executor does not have.
        """
