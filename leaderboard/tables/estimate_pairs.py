"""Two models whose worst cases are estimates: the difference of the two, with its interval and p value.

McNemar's test needs every sample's outcome in both models; of an estimate only the drawn ones are known. What is tested
here is the difference of the very estimates that are shown. Its interval is MOVER's for a difference of two dependent
estimates (R. G. Newcombe, Statistics in Medicine 1998, method 10): it takes the intervals of the two estimates, which
cover also where few samples were drawn and an attack broke none of them, and their correlation from a bootstrap over
images. ``benchmarks/estimate_pairs.py`` simulates how often two models that do not differ are told apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.base.statistics import Z95
from leaderboard.estimates import Estimate
from leaderboard.runs.record import Stages
from leaderboard.tables.statistics import Paired

DRAWS = 2_000


def compare_estimates(
    a: Sequence[tuple[Estimate, Stages]], b: Sequence[tuple[Estimate, Stages]], seed: int = 0
) -> list[Paired]:
    """The differences of two models up a grid, a minus b.

    Args:
        a: Estimate and stages at every epsilon, ascending.
        b: Of the other model, on the same samples in the same order.
        seed: Of the bootstrap.
    """
    correlations = _correlations([stages for _, stages in a], [stages for _, stages in b], seed)
    n = len(a[0][1].depth)
    return [_paired(one, other, rho, n) for (one, _), (other, _), rho in zip(a, b, correlations, strict=True)]


def _paired(a: Estimate, b: Estimate, rho: float, n: int) -> Paired:
    difference = a.accuracy - b.accuracy
    below = _combined(a.accuracy - a.ci95[0], b.ci95[1] - b.accuracy, rho)
    above = _combined(a.ci95[1] - a.accuracy, b.accuracy - b.ci95[0], rho)
    toward = below if difference > 0 else above
    p = 1.0
    if difference:
        p = math.erfc(abs(difference) * Z95 / toward / math.sqrt(2)) if toward > 0 else 0.0  # of a normal z, both tails
    return Paired(
        n=n, difference=difference, only_a=None, only_b=None, p=p,
        interval=(max(-1.0, difference - below), min(1.0, difference + above)), needed=None,
    )  # fmt: skip


def _combined(one: float, other: float, rho: float) -> float:
    return math.sqrt(max(0.0, one * one + other * other - 2 * rho * one * other))


def _correlations(a: Sequence[Stages], b: Sequence[Stages], seed: int) -> list[float]:
    """Of the two estimates at each epsilon, from images drawn again: the same for both, drawn and undrawn apart."""
    found = []
    for one, other in zip(*resampled(a, b, seed), strict=True):
        spread = float(one.std() * other.std())
        found.append(float(np.mean((one - one.mean()) * (other - other.mean()))) / spread if spread > 0 else 0.0)
    return [min(1.0, max(-1.0, value)) for value in found]


def resampled(
    a: Sequence[Stages], b: Sequence[Stages], seed: int = 0, draws: int = DRAWS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimates of two models, each [epsilons, draws], when their images are drawn again.

    A resample is one multinomial draw of how many images fall and stand alike, in each stratum of images that the same
    attacks saw; nothing is approximated by that.
    """
    both = (a, b)
    depths = [side[0].depth for side in both]
    states = np.stack([*depths, *(stages.passed for side in both for stages in side)], 1)
    kinds, counts = np.unique(states, axis=0, return_counts=True)
    rng = np.random.default_rng(seed)
    drawn = np.zeros((draws, len(kinds)))
    for level in np.unique(kinds[:, :2], axis=0):
        here = (kinds[:, :2] == level).all(1)
        drawn[:, here] = rng.multinomial(int(counts[here].sum()), counts[here] / counts[here].sum(), size=draws)
    sides = kinds[:, 2:].reshape(len(kinds), 2, len(a))
    found = []
    for side in range(2):
        products = [_products(drawn, kinds[:, side], sides[:, side, place]) for place in range(len(a))]
        found.append(np.minimum.accumulate(np.stack(products), axis=0))  # shown monotone, as the estimates are
    return found[0], found[1]


def _products(drawn: NDArray[np.float64], depth: NDArray[np.int64], passed: NDArray[np.int64]) -> NDArray[np.float64]:
    product = np.ones(len(drawn))
    for place in range(int(depth.max())):
        seen = depth > place
        stood = drawn[:, seen & (passed >= place)].sum(1)
        kept = drawn[:, seen & (passed > place)].sum(1)
        product *= np.divide(kept, stood, out=np.ones_like(kept), where=stood > 0)
    return product
