"""Paired statistics between models that were measured on the same samples; numpy only, no sampling without a seed.

All of it is about the sampling of images: none of it covers the seeds of attacks or trainings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from harness.base.statistics import exact_upper_bound, mcnemar_exact
from leaderboard.runs.record import Survivors

ALPHA = 0.05
"""Significance level, two-sided, after correction."""


def discordant(a: Survivors, b: Survivors) -> tuple[int, int]:
    """How many samples only `a` survives and how many only `b`."""
    return int(np.count_nonzero(a & ~b)), int(np.count_nonzero(b & ~a))


def paired_bootstrap(
    only_a: int, only_b: int, n: int, seed: int = 0, draws: int = 10_000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of the difference in accuracy, a minus b, when the n samples are drawn again in pairs.

    Each sample contributes +1, -1 or 0, so a resample is one multinomial draw of the three counts; nothing is
    approximated by that. Where no sample differs, every resample is 0 and would promise certainty: there the interval
    is the exact (Clopper-Pearson) bound on the share of samples that could differ, to both sides.
    """
    if n == 0:
        return -1.0, 1.0
    tail = (1 - level) / 2
    if only_a == only_b == 0:
        bound = exact_upper_bound(0, n, 1 - tail)
        return -bound, bound
    shares = [only_a / n, only_b / n, (n - only_a - only_b) / n]
    counts = np.random.default_rng(seed).multinomial(n, shares, size=draws)
    low, high = np.quantile((counts[:, 0] - counts[:, 1]) / n, [tail, 1 - tail])
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p values, in the order given (S. Holm, Scandinavian Journal of Statistics 1979)."""
    count, running = len(p_values), 0.0
    adjusted = [1.0] * count
    for place, index in enumerate(sorted(range(count), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (count - place) * p_values[index]))
        adjusted[index] = running
    return adjusted


def ranks(
    count: int, compared: Mapping[tuple[int, int], tuple[float, float]], alpha: float = ALPHA
) -> list[tuple[int, int]]:
    """For each of `count` models the ranks it may have: [1 + models significantly better, N - significantly worse].

    Args:
        count: How many models.
        compared: For each pair of places the difference, first minus second, and its p value, which is corrected here
            (Holm) over all pairs.
        alpha: Level of significance.
    """
    adjusted = holm([p for _, p in compared.values()])
    better, worse = [0] * count, [0] * count
    for ((i, j), (difference, _)), p in zip(compared.items(), adjusted, strict=True):
        if p <= alpha:
            winner, loser = (i, j) if difference > 0 else (j, i)
            better[loser] += 1
            worse[winner] += 1
    return [(1 + better[i], count - worse[i]) for i in range(count)]


def n_to_separate(only_a: int, only_b: int, n: int, power: float = 0.8, alpha: float = ALPHA) -> int | None:
    """Samples needed to find this difference significant with this power, if the shares stay as observed.

    The normal approximation of R. J. Connor (Biometrics 1987) for McNemar's test. None if no difference was observed.
    """
    if only_a == only_b or n == 0:
        return None
    differing, difference = (only_a + only_b) / n, abs(only_a - only_b) / n
    z_alpha, z_beta = NormalDist().inv_cdf(1 - alpha / 2), NormalDist().inv_cdf(power)
    spread = z_alpha * math.sqrt(differing) + z_beta * math.sqrt(differing - difference**2)
    return math.ceil((spread / difference) ** 2)


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Two models on the same samples, in one cell."""

    n: int
    difference: float
    """Accuracy of a minus accuracy of b."""
    only_a: int | None
    """Samples that a classifies correctly and b does not; None where not all were attacked."""
    only_b: int | None
    p: float
    """Two-sided, uncorrected: exact McNemar, of estimates see `estimate_pairs`, of means `compare_shares`."""
    interval: tuple[float, float]
    """95 %, of the difference: paired bootstrap, of estimates and means as `p`."""
    needed: int | None
    """Samples needed to separate the two with a power of 80 %; None where they do equally well, and of means."""


def compare_pair(a: Survivors, b: Survivors, seed: int = 0) -> Paired:
    """Everything `Paired` says, of two models with survivors `a` and `b`, [n] each."""
    only_a, only_b = discordant(a, b)
    return Paired(
        n=len(a),
        difference=(only_a - only_b) / len(a),
        only_a=only_a,
        only_b=only_b,
        p=mcnemar_exact(only_a, only_b),
        interval=paired_bootstrap(only_a, only_b, len(a), seed),
        needed=n_to_separate(only_a, only_b, len(a)),
    )


def compare_shares(a: NDArray[np.float64], b: NDArray[np.float64]) -> Paired:
    """The same of two means of one share an image, [n] each; interval and p by the normal approximation."""
    apart, n = a - b, len(a)
    difference, error = float(apart.mean()), float(apart.std(ddof=1)) / math.sqrt(n) if n > 1 else 1.0
    if error == 0:
        error = 1 / n  # nothing differs, or all by the same: one further image could
    p = math.erfc(abs(difference) / error / math.sqrt(2))
    reach = NormalDist().inv_cdf(1 - ALPHA / 2) * error
    interval = max(-1.0, difference - reach), min(1.0, difference + reach)
    return Paired(n=n, difference=difference, only_a=None, only_b=None, p=p, interval=interval, needed=None)
