"""The difference of two estimates: by hand, its sign, and how often models that do not differ are told apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
from repository import ROOT

from harness.base.statistics import Z95
from leaderboard import site
from leaderboard.estimates import Estimate, Part, estimates_up
from leaderboard.rows import WORST
from leaderboard.runs.record import Stages
from leaderboard.tables.estimate_pairs import compare_estimates, resampled
from leaderboard.tables.statistics import Paired, holm


def stages(n: int, m: int, fallen, broken) -> Stages:
    """n samples, the first m drawn; `fallen` to the cheap attacks, `broken` by the dear one where they stood."""
    ids = np.arange(n)
    stands = ~np.isin(ids, list(fallen))
    drawn = ids < m
    return Stages(np.where(drawn, 2, 1), stands + (stands & drawn & ~np.isin(ids, list(broken))).astype(np.int64))


def estimate(of: Stages) -> Estimate:
    counts = [((of.depth > place), (of.passed > place), (of.passed >= place)) for place in range(2)]
    parts = [
        Part(attacks=("x",), n=int(here.sum()), kept=int((here & kept).sum()), drawn=int((here & stood).sum()))
        for here, kept, stood in counts
    ]
    return estimates_up([parts])[0]


def compare(a: Stages, b: Stages) -> Paired:
    return compare_estimates([(estimate(a), a)], [(estimate(b), b)])[0]


def test_the_interval_by_hand() -> None:
    """Half-widths add as of a difference of correlated estimates, each toward the other."""
    a, b = stages(1000, 100, range(500, 800), range(10)), stages(1000, 100, range(500, 900), range(15))
    one, other = estimate(a), estimate(b)
    assert (one.accuracy, other.accuracy) == pytest.approx((0.7 * 0.9, 0.6 * 0.85))
    left, right = (values[0] for values in resampled([a], [b]))
    rho = np.corrcoef(left, right)[0, 1]
    below, above = one.accuracy - one.ci95[0], one.ci95[1] - one.accuracy
    other_above, other_below = other.ci95[1] - other.accuracy, other.accuracy - other.ci95[0]
    found = compare(a, b)
    assert found.difference == one.accuracy - other.accuracy
    half = math.sqrt(below**2 + other_above**2 - 2 * rho * below * other_above)
    assert found.interval[0] == pytest.approx(found.difference - half)
    assert found.interval[1] == pytest.approx(
        found.difference + math.sqrt(above**2 + other_below**2 - 2 * rho * above * other_below)
    )
    assert found.p == pytest.approx(math.erfc(found.difference / half * Z95 / math.sqrt(2)))
    assert (found.only_a, found.only_b, found.needed) == (None, None, None)


def test_images_are_drawn_again_in_their_strata() -> None:
    """The spread of a resampled product is that of its factors: of p over all images, of r over drawn ones alone."""
    one = stages(2000, 200, [*range(0, 100), *range(200, 1100)], range(100, 120))
    (found,), _ = resampled([one], [one], draws=20_000)
    p, r, stands = 0.5, 0.8, 100
    spread = math.sqrt((r * math.sqrt(p * (1 - p) / 2000)) ** 2 + (p * math.sqrt(r * (1 - r) / stands)) ** 2)
    assert found.mean() == pytest.approx(p * r, abs=0.001)
    assert found.std() == pytest.approx(spread, rel=0.03)
    whole = resampled([one], [one])
    assert (whole[0] == whole[1]).all(), "the same images for both models"


def test_a_model_does_not_differ_from_itself() -> None:
    one = stages(500, 100, range(300, 400), range(5))
    found = compare(one, one)
    assert (found.difference, found.p) == (0.0, 1.0)
    assert found.interval[0] <= 0 <= found.interval[1]


def test_models_that_stand_on_the_same_images_are_told_apart_sooner() -> None:
    nested = compare(stages(1000, 200, range(300, 500), range(9)), stages(1000, 200, range(300, 540), range(9)))
    apart = compare(stages(1000, 200, range(300, 500), range(9)), stages(1000, 200, range(600, 840), range(9)))
    assert nested.difference == pytest.approx(apart.difference)
    assert nested.p < apart.p


def test_an_attack_that_broke_nothing_drawn_makes_nobody_certain() -> None:
    """Of 15 drawn one attack broke none, the other 2: a bootstrap alone sees no spread in the first."""
    a, b = stages(2000, 20, range(15, 20), ()), stages(2000, 20, range(15, 20), range(2))
    found = compare(a, b)
    assert found.difference == pytest.approx(estimate(a).accuracy * 2 / 15)
    assert found.p > 0.05


def test_the_sign_is_that_of_the_displayed_estimates_also_where_they_are_lowered() -> None:
    """At the second epsilon a's own product is the larger, but what is shown is its smaller first one."""
    first_a, first_b = stages(200, 50, (), range(10)), stages(200, 50, (), range(7))
    second_a, second_b = stages(200, 50, range(10), ()), stages(200, 50, range(7), range(7, 9))
    shown = []
    for one, two in ((first_a, second_a), (first_b, second_b)):
        shown.append(estimates_up([estimate(one).factors, estimate(two).factors]))
    assert estimate(second_a).accuracy > estimate(second_b).accuracy
    assert shown[0][1].lowered
    found = compare_estimates(
        list(zip(shown[0], (first_a, second_a), strict=True)), list(zip(shown[1], (first_b, second_b), strict=True))
    )
    assert [pair.difference for pair in found] == [a.accuracy - b.accuracy for a, b in zip(*shown, strict=True)]
    assert found[1].difference < 0


def test_models_that_do_not_differ_are_rarely_told_apart() -> None:
    """300 pairs of equal models with correlated outcomes: at most 5 %, and what chance adds to that."""
    rng = np.random.default_rng(7)
    n, m, count, significant = 600, 120, 300, 0
    for _ in range(count):
        scores = rng.multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], size=(2, n))
        sides = []
        for side in range(2):
            fallen, broken = (np.flatnonzero(scores[stage, :, side] > end) for stage, end in ((0, 0.0), (1, 1.2816)))
            sides.append(stages(n, m, fallen, broken))
        significant += compare(*sides).p <= 0.05
    assert significant <= 0.05 * count + 2 * math.sqrt(0.05 * 0.95 * count)


@pytest.fixture(scope="module")
def board():
    return next(table for table in site.tables_of(ROOT / site.PUBLISHED) if table.suite == "standard@2")


def test_published_differences_are_those_of_the_displayed_estimates(board) -> None:
    shown = [{score.epsilon_label: score.accuracy for score in row.worst} for row in board.rows]
    for pair in board.pairs:
        for cell in (cell for cell in pair.cells if cell.attack == WORST):
            assert cell.difference == shown[pair.a][cell.epsilon_label] - shown[pair.b][cell.epsilon_label]
            assert (cell.only_a, cell.only_b) == (None, None)
            if cell.significant:
                assert cell.ci95[0] > 0 if cell.difference > 0 else cell.ci95[1] < 0


def test_published_ranks_follow_from_the_pairs(board) -> None:
    """At the ranking epsilon, with Holm over all pairs of the table."""
    label, count = board.ranking.epsilon_label, len(board.rows)
    cells = {(p.a, p.b): next(c for c in p.cells if (c.attack, c.epsilon_label) == (WORST, label)) for p in board.pairs}
    # p of the pair's table was corrected over its cells; here it is taken from the interval's own half-width.
    p_values = []
    for cell in cells.values():
        half = cell.difference - cell.ci95[0] if cell.difference > 0 else cell.ci95[1] - cell.difference
        p_values.append(math.erfc(abs(cell.difference) / half * Z95 / math.sqrt(2)))
    better, worse = [0] * count, [0] * count
    for ((a, b), cell), p in zip(cells.items(), holm(p_values), strict=True):
        if p <= 0.05:
            winner, loser = (a, b) if cell.difference > 0 else (b, a)
            better[loser] += 1
            worse[winner] += 1
    assert [row.rank for row in board.rows] == [(1 + better[i], count - worse[i]) for i in range(count)]
    assert board.rows[0].label == "a2s-trades"
    assert board.rows[0].rank == (1, 1)
