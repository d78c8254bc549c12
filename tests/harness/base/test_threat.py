"""Epsilons as users write them, and distances as everybody measures them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.base import threat
from harness.errors import BadEpsilon


@pytest.mark.parametrize(
    ("text", "value", "label"),
    [
        ("8/255", 8 / 255, "8/255"),
        (" 4 / 255 ", 4 / 255, "4/255"),
        ("0.5/255", 0.5 / 255, "0.5/255"),
        ("0.031", 0.031, "0.031"),
        (8 / 255, 8 / 255, "8/255"),
        ("0", 0.0, "0"),
        ("1", 1.0, "255/255"),
    ],
)
def test_epsilon_is_read_and_printed(text, value, label):
    epsilon = threat.parse_epsilon(text)
    assert (epsilon.value, epsilon.label) == (value, label)


@pytest.mark.parametrize("text", ["8", "nan", "8/0", "inf", "-1/255", "", "8/255/2", "eight", "1e999", "256/255"])
def test_bad_epsilon_is_refused_in_one_line(text):
    with pytest.raises(BadEpsilon) as error:
        threat.parse_epsilon(text)
    assert "\n" not in str(error.value)
    assert repr(text) in str(error.value)


def test_eight_suggests_eight_steps():
    with pytest.raises(BadEpsilon, match="did you mean 8/255"):
        threat.parse_epsilon("8")


def test_l2_radius_may_exceed_one():
    assert threat.parse_epsilon("2.5", "l2") == threat.Epsilon(2.5, "2.5")


def test_grid_is_sorted_and_refuses_doubles():
    grid = threat.parse_grid(["8/255", "1/255"])
    assert [epsilon.label for epsilon in grid] == ["1/255", "8/255"]
    with pytest.raises(BadEpsilon, match="twice"):
        threat.parse_grid(["2/255", "4/510"])
    with pytest.raises(BadEpsilon, match="no epsilon"):
        threat.parse_grid([])


def test_distances_of_a_hand_worked_case():
    clean = torch.zeros(1, 1, 2, 2)
    moved = torch.tensor([[[[0.3, 0.0], [-0.4, 0.0]]]])
    assert threat.distance(moved, clean, "linf").item() == pytest.approx(0.4)
    assert threat.distance(moved, clean, "l2").item() == pytest.approx(0.5)
    assert threat.distance(moved, clean, "l1").item() == pytest.approx(0.7)


@given(st.integers(0, 2**31), st.integers(1, 16), st.sampled_from([-1.0, 1.0]))
def test_a_full_step_of_float32_stays_inside(seed, steps, sign):
    """Eight-bit images moved by a full epsilon in float32 are off by rounding; none may be lost to it."""
    pixels = torch.randint(0, 256, (4, 3, 8, 8), generator=torch.Generator().manual_seed(seed)).float() / 255
    epsilon = steps / 255
    moved = (pixels + sign * epsilon).clamp(0, 1)
    reach = threat.distance(moved, pixels, "linf")
    assert threat.inside_ball(reach, epsilon, "linf").all()
    assert threat.inside_box(moved).all()


def test_a_percent_too_far_is_outside_in_every_norm():
    clean = torch.full((1, 3, 8, 8), 0.5)
    for norm in ("linf", "l2", "l1"):
        moved = clean + 0.01
        reach = threat.distance(moved, clean, norm)
        assert threat.inside_ball(reach, reach.item() * 1.0, norm).all()
        assert not threat.inside_ball(reach, reach.item() * 0.99, norm).any()


def test_nan_is_never_inside():
    broken = torch.full((1, 3, 8, 8), float("nan"))
    clean = torch.zeros(1, 3, 8, 8)
    assert not threat.inside_ball(threat.distance(broken, clean, "linf"), 1.0, "linf").any()
    assert not threat.inside_ball(threat.distance(broken, clean, "l2"), 1.0, "l2").any()
    assert not threat.inside_box(broken).any()


def test_the_box_has_no_slack():
    assert not threat.inside_box(torch.full((1, 1, 1, 1), 1.0 + 1e-6)).any()
    assert not threat.inside_box(torch.full((1, 1, 1, 1), -1e-9)).any()


def test_l0_counts_pixels_and_not_channels():
    clean = torch.full((4, 3, 5, 4), 0.5)
    moved = clean.clone()
    moved[1, 0, 2, 3] += 2**-24  # the next float32, in one channel
    moved[2, :, 2, 3] = 1.0
    moved[2, 1, 0, 0] = 0.0
    moved[3, 0, 0, 0] = float("nan")
    reach = threat.distance(moved, clean, "l0")
    assert reach[:3].tolist() == [0, 1, 2]
    assert threat.inside_ball(reach, 1, "l0").tolist() == [True, True, False, False]
    assert threat.inside_ball(reach, 2, "l0").tolist() == [True, True, True, False]


def test_epsilons_of_l0_are_whole_numbers_of_pixels():
    assert [(e.value, e.label) for e in threat.parse_grid(["5", 1, "3.0"], "l0")] == [(1, "1"), (3, "3"), (5, "5")]
    for text, why in (("1.5", "is no whole number of pixels"), ("8/255", "is no whole"), ("inf", "must be finite")):
        with pytest.raises(BadEpsilon, match=why):
            threat.parse_epsilon(text, "l0")


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_labels_of_epsilons_are_distinct_and_read_back(norm):
    values = [
        1e-9,
        1e-7,
        5e-7,
        1 / 255,
        1.0000001 / 255,
        float(np.float32(8 / 255)),
        8 / 255,
        0.0313725,
        0.1,
        0.1 + 1e-12,
    ]
    grid = threat.parse_grid(values, norm)
    assert len({epsilon.label for epsilon in grid}) == len(values)
    assert [threat.parse_epsilon(epsilon.label, norm).value for epsilon in grid] == [epsilon.value for epsilon in grid]
    assert sorted(values) == [epsilon.value for epsilon in grid]


def test_rounding_of_a_float_is_no_other_epsilon():
    assert (
        threat.parse_epsilon(3 * (1 / 255))
        == threat.parse_epsilon("3/255")
        == threat.parse_epsilon(float(np.nextafter(3 / 255, 1)))
    )
