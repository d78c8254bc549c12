"""Which unit may run next, for executors with several workers: pure bookkeeping, no process and no clock."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from harness.measure.lanes import Lane


@dataclass(frozen=True)
class Task:
    """The lane's unit number `place`."""

    lane: Lane
    place: int


class Schedule:
    """Hands out units so that each finds on disk what it needs: earlier ones of its lane, and other lanes.

    No unit waits for another chunk. A worker that asks again gets the next unit of the same lane, or another lane of
    the same chunk, whose images it holds; a lane that somebody is on is nobody else's. A call takes constant time, but
    for the lanes that it sets free.

    Args:
        lanes: Lanes in order of preference.
        length: Number of units of a lane.
        needs: The lanes that must be finished before a lane begins; those that are not among `lanes` are on disk.
    """

    def __init__(
        self,
        lanes: Iterable[Lane],
        length: Callable[[Lane], int],
        needs: Callable[[Lane], Iterable[Lane]] = lambda lane: (
            [Lane(None, lane.chunk)] if lane.attack is not None else []
        ),
    ) -> None:
        self._length = length
        self._place: dict[Lane, int] = dict.fromkeys(lanes, 0)
        self._ready: OrderedDict[Lane, None] = OrderedDict()
        self._of_chunk: dict[int, dict[Lane, None]] = defaultdict(dict)
        self._waiting: dict[Lane, list[Lane]] = defaultdict(list)
        self._needed: dict[Lane, int] = {}
        for lane in self._place:
            wanted = [other for other in needs(lane) if other in self._place]
            self._needed[lane] = len(wanted)
            for other in wanted:
                self._waiting[other].append(lane)
            if not wanted:
                self._put(lane, front=False)

    def take(self, last: Lane | None = None) -> Task | None:
        """A unit for the worker that was on lane `last`; None if there is none now, or none left (`Schedule.empty`)."""
        if not self._ready:
            return None
        lane = next(iter(self._ready))
        if last is not None:
            near = self._of_chunk.get(last.chunk)
            lane = last if last in self._ready else next(iter(near)) if near else lane
        del self._ready[lane], self._of_chunk[lane.chunk][lane]
        return Task(lane, self._place[lane])

    def finished(self, task: Task) -> None:
        """The unit is on disk: what waited for it may run, before lanes that nobody has begun."""
        lane = task.lane
        self._place[lane] = task.place + 1
        if self._place[lane] < self._length(lane):
            self._put(lane)
            return
        del self._place[lane]
        for waiting in reversed(self._waiting.pop(lane, [])):
            self._needed[waiting] -= 1
            if not self._needed[waiting] and waiting in self._place:
                self._put(waiting)

    def give_back(self, task: Task) -> None:
        """The unit was not finished; it is the next to be taken."""
        self._put(task.lane)

    def drop(self, task: Task) -> None:
        """Give the rest of the unit's lane up, and what waits for it."""
        lost = [task.lane]
        while lost:
            lane = lost.pop()
            self._place.pop(lane, None)
            lost += self._waiting.pop(lane, [])

    @property
    def empty(self) -> bool:
        """Whether every unit was finished or given up."""
        return not self._place

    def _put(self, lane: Lane, front: bool = True) -> None:
        self._ready[lane] = None
        self._ready.move_to_end(lane, last=not front)
        self._of_chunk[lane.chunk][lane] = None
