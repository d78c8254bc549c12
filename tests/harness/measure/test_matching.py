"""A shorter query is matched to samples only where that is certain, and a remembered match only as long as it holds."""

import pytest
import torch
from toys import uniform_images

from harness.base.threat import LINF_SLACK, distance
from harness.measure.unit.matching import Matcher

CLEAN = uniform_images(20, 0)
PIXELS = CLEAN[0].numel()
EPSILON = {"linf": 0.03, "l2": 0.3, "l1": 1.0}


def moved(norm, by=1.0):
    """Every image moved by `by` times the radius of its ball, in float64 arithmetic."""
    share = {"linf": 1.0, "l2": PIXELS**-0.5, "l1": 1 / PIXELS}[norm]
    return (CLEAN.double() + by * EPSILON[norm] * share).float()


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_a_remembered_match_is_checked_against_the_images(norm):
    matcher = Matcher(CLEAN, norm, EPSILON[norm], False)
    first, second = torch.tensor([2, 5, 11]), torch.tensor([3, 6, 12])
    images = moved(norm)
    found = [matcher.rows_of(images[rows]) for rows in (first, first, first, second, second)]
    assert [rows.tolist() for rows in found] == [[2, 5, 11]] * 3 + [[3, 6, 12]] * 2
    assert found[0] is found[1] is found[2]  # observers remember by the tensor what they know of its rows
    assert matcher.rows_of(moved(norm, 1 + 1e-2)[second]) is None
    assert matcher.rows_of(torch.rand_like(images[first])) is None
    assert matcher.rows_of(images) is matcher.all


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_the_quick_distance_is_the_distance_up_to_a_part_of_the_slack(norm):
    images = uniform_images(20, 1)
    quick = Matcher(CLEAN, norm, EPSILON[norm], False)._moved(images, CLEAN).double()
    assert float((quick - distance(images, CLEAN, norm)).abs().max()) <= LINF_SLACK / 16


def test_no_row_is_certain_where_balls_meet():
    near = CLEAN.clone()
    near[6] = near[3] + 0.5 * EPSILON["linf"]
    matcher = Matcher(near, "linf", EPSILON["linf"], False)
    assert matcher.rows_of(near[torch.tensor([3, 12])]) is None
    matcher._matched[2] = torch.tensor([3, 12])  # as if the row had been certain when it was asked for first
    assert matcher.rows_of(near[torch.tensor([3, 12])]) is None


def test_rows_of_attacks_that_leave_the_ball_are_not_guessed():
    matcher = Matcher(CLEAN, "linf", EPSILON["linf"], True)
    assert matcher.rows_of(CLEAN[:3]) is None
    assert matcher.rows_of(CLEAN) is matcher.all
    assert Matcher(CLEAN[:1], "linf", 0.1, True).rows_of(CLEAN[:3]).tolist() == [0, 0, 0]


def test_rows_are_told_apart_by_the_pixels_that_changed():
    matcher = Matcher(CLEAN, "l0", 3, False)
    images = CLEAN.clone()
    images[:, :, 0, :3] = 0
    found = [matcher.rows_of(images[torch.tensor(rows)]) for rows in ([2, 5], [2, 5], [3, 6])]
    assert [rows.tolist() for rows in found] == [[2, 5], [2, 5], [3, 6]]
    images[:, 1, 0, 3] = 0
    assert matcher.rows_of(images[torch.tensor([2, 5])]) is None
