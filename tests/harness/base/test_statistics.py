"""Tails of the binomial distribution are those of scipy, which is slow to import; exact bounds are those by hand."""

import math
import subprocess
import sys
from fractions import Fraction

import pytest

from harness.base.statistics import binomial_at_least, binomial_at_most, exact_upper_bound


@pytest.mark.parametrize("share", [0.0, 1e-3, 0.3, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("n", [0, 1, 7, 400])
def test_tails_are_those_of_scipy(n, share):
    from scipy.stats import binom

    for k in (-1, 0, 1, n // 3, n - 1, n, n + 1):
        assert binomial_at_least(k, n, share) == pytest.approx(binom.sf(k - 1, n, share), rel=1e-9, abs=1e-300)
        assert binomial_at_most(k, n, share) == pytest.approx(binom.cdf(k, n, share), rel=1e-9, abs=1e-300)


def test_what_every_run_asks_does_not_import_scipy_stats():
    asked = (
        "import sys; from harness.base import statistics as s; s.mcnemar_one_sided(3, 1); s.binomial_at_most(1, 9, 0.5)"
    )
    code = f"{asked}; sys.exit('scipy.stats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("hits", "draws"), [(0, 100), (1, 100), (3, 7), (12, 400)])
def test_the_bound_is_exact(hits, draws):
    """Where the bound lies, so few hits have a probability of exactly 5 %."""
    share = exact_upper_bound(hits, draws)
    p = Fraction(share)
    chance = sum(math.comb(draws, k) * p**k * (1 - p) ** (draws - k) for k in range(hits + 1))
    assert float(chance) == pytest.approx(0.05, abs=1e-9)


def test_the_bound_at_its_ends():
    assert exact_upper_bound(0, 100) == pytest.approx(1 - 0.05**0.01)
    assert exact_upper_bound(5, 5) == exact_upper_bound(0, 0) == 1.0
