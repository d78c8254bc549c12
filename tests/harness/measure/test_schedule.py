"""Who may run what: every unit once, each after what it needs, whoever asks and whatever gets lost."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.executors.schedule import Schedule
from harness.measure.lanes import Lane


def lanes(chunks, attacks):
    clean = [Lane(None, chunk) for chunk in range(chunks)]
    return clean + [Lane(attack, chunk) for chunk in range(chunks) for attack in range(attacks)]


def length(lane):
    return 1 if lane.attack is None else 3


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 6), st.integers(0, 2**32))
def test_every_unit_runs_once_and_after_what_it_needs(chunks, attacks, workers, seed):
    """Workers finish in any order and die now and then."""
    chance = random.Random(seed)
    schedule = Schedule(lanes(chunks, attacks), length)
    running, done, last = {}, [], {}
    while not schedule.empty:
        for worker in range(workers):
            if worker not in running and (task := schedule.take(last.get(worker))):
                before = [Lane(None, task.lane.chunk)] if task.lane.attack is not None else []
                assert all((lane, 0) in done for lane in before)
                assert all((task.lane, place) in done for place in range(task.place))
                assert all(task.lane != other.lane for other in running.values())
                running[worker] = task
        worker = chance.choice(list(running))
        task = running.pop(worker)
        if chance.random() < 0.2:
            schedule.give_back(task)
            continue
        last[worker] = task.lane
        done.append((task.lane, task.place))
        schedule.finished(task)
    assert sorted(done, key=str) == sorted(
        ((lane, place) for lane in lanes(chunks, attacks) for place in range(length(lane))), key=str
    )


def test_no_chunk_waits_for_another():
    """With as many workers as lanes, everything of a chunk is out once its own clean pass is in."""
    schedule = Schedule(lanes(3, 2), length)
    clean = [schedule.take() for _ in range(3)]
    assert schedule.take() is None
    schedule.finished(clean[2])
    out = [schedule.take(), schedule.take()]
    assert {task.lane for task in out} == {Lane(0, 2), Lane(1, 2)}
    assert schedule.take() is None


def test_a_worker_stays_on_its_lane_then_on_its_chunk():
    schedule = Schedule([Lane(attack, chunk) for chunk in (0, 1) for attack in (0, 1)], length)
    task = schedule.take()
    seen = [task.lane]
    while task is not None:
        schedule.finished(task)
        task = schedule.take(task.lane)
        seen += [task.lane] if task else []
    assert seen == [lane for chunk in (0, 1) for attack in (0, 1) for lane in [Lane(attack, chunk)] * 3]


@pytest.mark.parametrize("attack", [None, 0])
def test_what_is_given_up_takes_along_what_needs_it(attack):
    schedule = Schedule(lanes(1, 2), length)
    task = schedule.take()
    if attack is not None:
        schedule.finished(task)
        task = schedule.take()
    schedule.drop(task)
    rest = []
    while (task := schedule.take()) is not None:
        rest.append(task.lane.attack)
        schedule.finished(task)
    assert schedule.empty
    assert rest == ([] if attack is None else [1, 1, 1])
