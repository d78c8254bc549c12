"""Joined estimates: by hand, at the edges, and what the interval must cover."""

import numpy as np
import pytest
from scipy.stats import hypergeom

from harness.base.estimates import Factor, Joined, finite_interval, join, monotone
from harness.base.statistics import exact_interval, wilson


def test_the_worked_example_by_hand():
    """672 of 2,000 stand; of 51 drawn ones the dear attack leaves 47."""
    estimate = join(Factor(672, 2000), [Factor(47, 51)])
    p, r = 0.336, 47 / 51
    assert estimate.accuracy == pytest.approx(p * r)  # 31.0 %
    (p_low, p_high), (r_low, r_high) = wilson(672, 2000), exact_interval(47, 51)
    low = p * r - ((r * (p - p_low)) ** 2 + (p * (r - r_low)) ** 2) ** 0.5
    high = p * r + ((r * (p_high - p)) ** 2 + (p * (r_high - r)) ** 2) ** 0.5
    assert estimate.interval == pytest.approx((low, high))
    assert (round(100 * low, 1), round(100 * high, 1)) == (26.8, 33.7)


def test_a_complete_run_is_the_case_without_further_factors():
    for kept, n in ((0, 40), (40, 40), (17, 40), (672, 2000)):
        assert join(Factor(kept, n)) == Joined(kept / n, wilson(kept, n))


def test_nobody_drawn_says_only_what_stands():
    estimate = join(Factor(10, 1000), [Factor(0, 0)])
    assert estimate.interval == (0.0, wilson(10, 1000)[1])
    assert join(Factor(0, 1000), [Factor(0, 0)]).accuracy == 0.0


def test_an_attack_that_breaks_nothing_leaves_the_upper_end():
    estimate = join(Factor(500, 1000), [Factor(60, 60)])
    assert estimate.accuracy == 0.5
    assert estimate.interval[1] == wilson(500, 1000)[1]
    assert estimate.interval[0] < wilson(500, 1000)[0]


def test_more_drawn_samples_never_widen_the_interval():
    widths = [join(Factor(600, 1000), [Factor(9 * k, 10 * k)]).half_width for k in (3, 6, 12, 24, 48)]
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize(
    ("kept", "drawn", "total"), [(7, 10, 30), (0, 10, 30), (10, 10, 30), (29, 30, 30), (3, 3, 200)]
)
def test_the_finite_interval_inverts_the_hypergeometric_tails(kept, drawn, total):
    low, high = finite_interval(kept, drawn, total)
    for whole in range(total + 1):
        possible = kept <= whole <= total - (drawn - kept)
        inside = (
            possible
            and hypergeom.sf(kept - 1, total, whole, drawn) > 0.025
            and hypergeom.cdf(kept, total, whole, drawn) > 0.025
        )
        assert inside == (low - 1e-12 <= whole / total <= high + 1e-12), whole


def test_the_set_itself_is_known_where_all_of_it_was_drawn():
    estimate = join(Factor(300, 1000), [Factor(270, 300)], target="set")
    assert estimate.accuracy == pytest.approx(0.27)
    assert estimate.interval == pytest.approx((0.27, 0.27))
    assert join(Factor(300, 1000), [Factor(27, 30)], target="set").half_width > 0


def test_estimates_are_shown_monotone():
    rising = [Joined(0.5, (0.45, 0.55)), Joined(0.52, (0.46, 0.58)), Joined(0.3, (0.2, 0.4))]
    shown = monotone(rising)
    assert [estimate.accuracy for estimate in shown] == [0.5, 0.5, 0.3]
    assert shown[1].interval == (0.46, 0.55)
    assert all(estimate.interval[0] <= estimate.accuracy <= estimate.interval[1] for estimate in shown)


def test_a_factor_that_keeps_more_than_it_was_given_is_refused():
    with pytest.raises(ValueError, match="keeps 3 of 2"):
        Factor(3, 2)


@pytest.mark.parametrize(
    ("n", "m", "p", "r"), [(500, 30, 0.95, 0.995), (500, 400, 0.05, 0.8), (12630, 30, 0.95, 0.995)]
)
def test_coverage_where_the_score_interval_fell_short(n, m, p, r):
    """At least 94 % in settings in which Wilson factors covered as little as 90."""
    rng = np.random.default_rng(0)
    draws = 4000
    stands = rng.binomial(n, p, draws)
    drawn = rng.hypergeometric(stands, n - stands, m)
    kept = rng.binomial(drawn, r)
    covered = 0
    for count, left, of in zip(stands.tolist(), kept.tolist(), drawn.tolist(), strict=True):
        low, high = join(Factor(count, n), [Factor(left, of)]).interval
        covered += low <= p * r <= high
    assert covered / draws > 0.94
