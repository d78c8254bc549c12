"""Estimates from any number of prefixes, sample by sample."""

import numpy as np
import pytest

from harness.base.estimates import Factor, join
from harness.base.threat import Epsilon
from leaderboard.rows import WORST
from leaderboard.runs.estimated import Group, estimated

GRID = (Epsilon(4 / 255, "4/255"),)


def group(name: str, rows, fallen) -> Group:
    rows = np.array(rows)
    return Group((name,), rows, [~np.isin(rows, list(fallen))])


def test_a_chain_of_three_by_hand() -> None:
    """Of 20 samples 8 fall to the first; of 6 left among 10, 2 to the next; of 2 left among 5, 1 to the last."""
    first = group("a", range(20), [0, 1, 6, 7, 16, 17, 18, 19])
    second = group("b", [9, 8, 7, 6, 5, 4, 3, 2, 1, 0], [2, 9, 0])  # 0 had fallen before
    third = group("c", range(5), [3, 2])  # 2 had fallen before
    scores, stages = estimated(GRID, [first, second, third])
    estimate = scores[WORST, "4/255"].estimate
    assert [(part.n, part.kept, part.drawn) for part in estimate.factors] == [(20, 12, 20), (10, 4, 6), (5, 1, 2)]
    expected = join(Factor(12, 20), [Factor(4, 6), Factor(1, 2)])
    assert (estimate.accuracy, estimate.ci95) == (pytest.approx(expected.accuracy), expected.interval)
    assert stages["4/255"].depth.tolist() == [3] * 5 + [2] * 5 + [1] * 10
    assert stages["4/255"].passed.tolist() == [0, 0, 1, 2, 3, 2, 0, 0, 2, 1] + [1] * 6 + [0] * 4


def test_one_group_is_a_complete_run() -> None:
    scores, _ = estimated(GRID, [group("a", range(40), range(10))])
    assert scores[WORST, "4/255"].ci95 == join(Factor(30, 40)).interval
