"""Races of two networks: told apart where they differ, and not where only the machine does."""

import random

import pytest

from harness.measure.fast_copy.race import FEWEST, PATIENCE, race


def runner(seconds, noise=None):
    """Measurements of so many seconds, some of them much longer."""
    taken = []

    def run():
        taken.append(seconds * (1 if noise is None or noise.random() > 0.3 else noise.uniform(1, 10)))
        return taken[-1]

    return run, taken


@pytest.mark.parametrize(("rival", "won"), [(0.9, True), (1.1, False)])
def test_a_clear_race_ends_after_the_fewest_pairs(rival, won):
    (base, asked), (other, _) = runner(0.001), runner(0.001 * rival)
    run = race(base, other)
    assert run.won is won
    assert run.ratio == pytest.approx(1 / rival)
    assert len(asked) == FEWEST + 1  # and one to warm up


def test_equals_are_told_apart_by_nothing_and_measured_no_longer_than_patience():
    (base, asked), (other, answered) = runner(0.01), runner(0.01)
    assert not race(base, other).won
    assert PATIENCE <= sum(asked[1:]) + sum(answered[1:]) < PATIENCE + 0.021


def test_delays_of_ten_times_mislead_few_races():
    """Of equals that are delayed at random hardly more win than a coin would give; of rivals 1.3 times as fast most."""
    noise = random.Random(0)
    wins = {
        ratio: sum(race(runner(0.002, noise)[0], runner(0.002 / ratio, noise)[0]).won for _ in range(400))
        for ratio in (1.0, 1.3)
    }
    assert wins[1.3] > 0.8 * 400
    assert wins[1.0] < 0.5 * 400


def test_who_begins_changes():
    order = []
    race(lambda: order.append("base") or 1.0, lambda: order.append("rival") or 0.5)
    assert order[2:6] == ["base", "rival", "rival", "base"]
