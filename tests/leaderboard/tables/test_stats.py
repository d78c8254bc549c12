"""Statistics against hand-worked cases, scipy, and their own promises."""

from __future__ import annotations

import math
from inspect import signature
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, bootstrap

from harness.base.statistics import mcnemar_exact
from leaderboard.tables.statistics import (
    compare_pair,
    holm,
    n_to_separate,
    paired_bootstrap,
    ranks,
)

COUNT = st.integers(0, 3000)


def rank_intervals(alive: list[np.ndarray]) -> list[tuple[int, int]]:
    """Ranks by exact McNemar of every pair."""
    pairs = {(i, j): compare_pair(alive[i], alive[j]) for i, j in combinations(range(len(alive)), 2)}
    return ranks(len(alive), {place: (pair.difference, pair.p) for place, pair in pairs.items()})


def survivors(n: int, *lost: int) -> np.ndarray:
    return ~np.isin(np.arange(n), lost)


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [
        (0, 0, 1.0),
        (5, 5, 1.0),
        (0, 5, 2 / 32),
        (1, 9, 2 * (1 + 10) / 1024),
        (3, 2, 1.0),  # 2 P(X <= 2 of 5) = 1
        (10, 2, 2 * (1 + 12 + 66) / 4096),
    ],
)
def test_mcnemar_by_hand(only_a: int, only_b: int, p: float) -> None:
    assert mcnemar_exact(only_a, only_b) == pytest.approx(p, rel=1e-14)


@given(COUNT, COUNT)
def test_mcnemar_agrees_with_scipy(only_a: int, only_b: int) -> None:
    expected = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert mcnemar_exact(only_a, only_b) == pytest.approx(expected, rel=1e-9, abs=1e-290)
    assert mcnemar_exact(only_a, only_b) == mcnemar_exact(only_b, only_a)


def test_mcnemar_of_many_samples_neither_overflows_nor_takes_long() -> None:
    assert mcnemar_exact(6000, 6630) == pytest.approx(binomtest(6000, 12630).pvalue, rel=1e-9)
    assert mcnemar_exact(0, 12630) == 0.0


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_uncorrected_and_bonferroni_and_keeps_the_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for p, q in zip(p_values, adjusted, strict=True):
        assert p <= q <= min(1.0, len(p_values) * p)
    order = np.argsort(p_values, kind="stable")
    assert np.all(np.diff(np.array(adjusted)[order]) >= 0)


def test_bootstrap_agrees_with_scipy() -> None:
    difference = np.repeat([1.0, -1.0, 0.0], [30, 12, 158])
    generator = "rng" if "rng" in signature(bootstrap).parameters else "random_state"  # before SciPy 1.15
    given = {"method": "percentile", "n_resamples": 5000, generator: np.random.default_rng(1)}
    theirs = bootstrap((difference,), np.mean, **given)
    low, high = paired_bootstrap(30, 12, 200)
    assert low == pytest.approx(theirs.confidence_interval.low, abs=0.011)
    assert high == pytest.approx(theirs.confidence_interval.high, abs=0.011)


def test_bootstrap_is_seeded_and_mirrors() -> None:
    assert paired_bootstrap(30, 12, 200) == paired_bootstrap(30, 12, 200)
    low, high = paired_bootstrap(400, 100, 10_000)
    deviation = math.sqrt((0.05 - 0.03**2) / 10_000)
    assert (low, high) == pytest.approx((0.03 - 1.96 * deviation, 0.03 + 1.96 * deviation), abs=4e-4)
    mirrored = paired_bootstrap(100, 400, 10_000)
    assert mirrored == pytest.approx((-high, -low), abs=4e-4)


def test_bootstrap_of_equal_models_does_not_promise_certainty() -> None:
    low, high = paired_bootstrap(0, 0, 100)
    # With a true share of `high` differing samples, none among 100 is seen with a probability of 2.5 %.
    assert (1 - high) ** 100 == pytest.approx(0.025)
    assert low == -high


def test_ranks_of_one_clear_winner() -> None:
    best, second, third = survivors(40), survivors(40, *range(20)), survivors(40, *range(1, 21))
    assert rank_intervals([second, best, third]) == [(2, 3), (1, 1), (2, 3)]
    assert rank_intervals([best]) == [(1, 1)]


def test_ranks_are_corrected_for_all_pairs() -> None:
    # 8 samples to 1: p = 2 * (1 + 9) / 512 = 0.039, significant alone, not as one of three pairs.
    worse, better = survivors(40, *range(8)), survivors(40, 39)
    assert mcnemar_exact(8, 1) == pytest.approx(20 / 512)
    assert rank_intervals([worse, better]) == [(2, 2), (1, 1)]
    assert rank_intervals([worse, better, worse]) == [(1, 3), (1, 3), (1, 3)]


@given(st.lists(st.lists(st.booleans(), min_size=12, max_size=12), min_size=1, max_size=5))
def test_ranks_are_possible_ranks(rows: list[list[bool]]) -> None:
    for low, high in rank_intervals([np.array(row) for row in rows]):
        assert 1 <= low <= high <= len(rows)


def test_n_to_separate_by_hand() -> None:
    # ((1.959964 sqrt(0.3) + 0.841621 sqrt(0.3 - 0.1^2)) / 0.1)^2 = 233.1
    assert n_to_separate(20, 10, 100) == 234
    assert n_to_separate(10, 20, 100) == 234
    assert n_to_separate(10, 10, 100) is None


def test_n_to_separate_gives_the_power_it_promises() -> None:
    n = n_to_separate(20, 10, 100)
    assert n is not None
    draws = np.random.default_rng(0).multinomial(n, [0.2, 0.1, 0.7], size=3000)
    found = np.mean([mcnemar_exact(int(a), int(b)) <= 0.05 for a, b, _ in draws])
    assert 0.72 < found < 0.86  # the exact test is a little more careful than the formula


def test_compare_pair_counts_samples_not_models() -> None:
    pair = compare_pair(survivors(10, 0, 1, 2), survivors(10, 2, 3))
    assert (pair.only_a, pair.only_b, pair.n) == (1, 2, 10)
    assert pair.difference == pytest.approx(0.7 - 0.8)
