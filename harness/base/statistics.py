"""Statistics of counts: exact tests and intervals, no sampling."""

from __future__ import annotations

import math
from collections.abc import Iterable


def binomial_at_least(k: int, n: int, share: float) -> float:
    """P(X >= k) for X ~ Binomial(n, share)."""
    if k <= 0:
        return 1.0
    if share <= 0.0:
        return 0.0
    if share >= 1.0:
        return 1.0 if k <= n else 0.0
    success, failure = math.log(share), math.log1p(-share)
    return _sum(_choose(n, i) + i * success + (n - i) * failure for i in range(k, n + 1))


def binomial_at_most(k: int, n: int, share: float) -> float:
    """P(X <= k) for X ~ Binomial(n, share)."""
    return binomial_at_least(n - k, n, 1.0 - share)


def mcnemar_one_sided(for_it: int, against: int) -> float:
    """P(X >= for_it) where each of the discordant pairs falls either way with probability 1/2 (McNemar 1947)."""
    return binomial_at_least(for_it, for_it + against, 0.5)


def fisher(k: int, n: int, other_k: int, other_n: int) -> float:
    """Two-sided p value that `k` of `n` and `other_k` of `other_n` have one share (R. A. Fisher, 1935).

    The smaller tail, doubled. Unlike a binomial test against ``other_k / other_n``, it knows that the other share was
    counted, too; with a large `other_n` the two agree.
    """
    total, successes = n + other_n, k + other_k
    low, high = max(0, successes - other_n), min(n, successes)
    whole = _choose(total, n)

    def tail(counts: Iterable[int]) -> float:
        return _sum(_choose(successes, i) + _choose(total - successes, n - i) - whole for i in counts)

    return min(1.0, 2 * min(tail(range(low, k + 1)), tail(range(k, high + 1))))


def _choose(n: int, k: int) -> float:
    """Logarithm of the binomial coefficient."""
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _sum(logarithms: Iterable[float]) -> float:
    return min(1.0, math.fsum(math.exp(value) for value in logarithms))


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
