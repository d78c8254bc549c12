"""Statistics of counts: exact tests and intervals, on scipy.

scipy is imported inside the functions: most commands never ask for a p value, and `scipy.stats` takes seconds. What
every run asks for is on `scipy.special` alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np


def binomial_at_least(k: int, n: int, share: float) -> float:
    """P(X >= k) for X ~ Binomial(n, share): an incomplete beta function (M. Abramowitz and I. Stegun, 26.5.24)."""
    from scipy.special import betainc

    if k <= 0:
        return 1.0
    return float(betainc(k, n - k + 1, share)) if k <= n else 0.0


def binomial_at_most(k: int, n: int, share: float) -> float:
    """P(X <= k) for X ~ Binomial(n, share)."""
    return binomial_at_least(n - k, n, 1 - share)


def mcnemar_one_sided(for_it: int, against: int) -> float:
    """P(X >= for_it) where each of the discordant pairs falls either way with probability 1/2 (McNemar 1947)."""
    return binomial_at_least(for_it, for_it + against, 0.5)


def mcnemar_exact(only_a: int, only_b: int) -> float:
    """Two-sided p value of McNemar's test in its exact, binomial form (Q. McNemar, Psychometrika 1947).

    Under the null hypothesis a sample on which two models differ favors either with probability 1/2.
    """
    return min(1.0, 2 * binomial_at_most(min(only_a, only_b), only_a + only_b, 0.5))


def fisher(k: int, n: int, other_k: int, other_n: int) -> float:
    """Two-sided p value that `k` of `n` and `other_k` of `other_n` have one share (R. A. Fisher, 1935).

    The smaller tail, doubled. Unlike a binomial test against ``other_k / other_n``, it knows that the other share was
    counted, too; with a large `other_n` the two agree.
    """
    from scipy.stats import hypergeom

    total, successes = n + other_n, k + other_k
    below, above = hypergeom.cdf(k, total, successes, n), hypergeom.sf(k - 1, total, successes, n)
    return float(min(1.0, 2 * min(below, above)))


def welch(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> tuple[float, float] | None:
    """Interval of mean(a) - mean(b), variances not assumed equal (B. L. Welch, Biometrika 1947).

    None without any variance: that a few trainings agree is no certainty.

    Args:
        a: at least two values.
        b: likewise.
        level: of confidence.
    """
    from scipy.stats import ttest_ind

    if float(np.var(a)) == float(np.var(b)) == 0:
        return None
    # An interval moves with its data. Near zero, trainings that agree have an exact variance; elsewhere scipy warns.
    low, high = ttest_ind(np.subtract(a, a[0]), np.subtract(b, b[0]), equal_var=False).confidence_interval(level)
    return float(low + a[0] - b[0]), float(high + a[0] - b[0])


@lru_cache(maxsize=65_536)
def exact_interval(hits: int, draws: int, level: float = 0.95) -> tuple[float, float]:
    """Exact interval of a share (C. J. Clopper and E. S. Pearson, Biometrika 1934); (0, 1) for no draws."""
    from scipy.stats import beta

    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else float(beta.ppf(tail, hits, draws - hits + 1))
    return low, exact_upper_bound(hits, draws, 1 - tail)


def exact_upper_bound(hits: int, draws: int, level: float = 0.95) -> float:
    """The largest share under which so few `hits` of `draws` have a probability of 1 - `level`; 1 for no draws."""
    from scipy.stats import beta

    return 1.0 if hits >= draws else float(beta.ppf(level, hits + 1, draws - hits))


Z95 = 1.959963984540054
"""The 97.5 % point of the normal distribution."""


def wilson(successes: int, n: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval for a share (E. B. Wilson, JASA 1927); (0, 1) for n = 0.

    It covers the sampling of images only: not the seed of the attack, nor that of the training.
    """
    if n == 0:
        return 0.0, 1.0
    share, square = successes / n, z * z
    center = (share + square / (2 * n)) / (1 + square / n)
    half = z / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    # At 0 and n successes the bounds are exactly 0 and 1; rounding must not say otherwise.
    low = 0.0 if successes == 0 else max(0.0, center - half)
    high = 1.0 if successes == n else min(1.0, center + half)
    return low, high
