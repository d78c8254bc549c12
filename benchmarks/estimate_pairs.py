"""How often two models that do not differ are told apart by the test of their estimates, by simulation.

``python benchmarks/estimate_pairs.py [--draws 2000]`` draws pairs of models whose true worst cases are equal, on one
slice of n samples of which a dear attack saw the first m, and counts how often the difference of the two estimates is
significant at 5 % (uncorrected): by the test that tables use, and by the plain percentile bootstrap for comparison.
The two models' outcomes are correlated sample by sample, as those of models of one data set are.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import product
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from leaderboard.estimates import Estimate, Part, estimates_up
from leaderboard.runs.record import Stages
from leaderboard.tables.estimate_pairs import compare_estimates, resampled

SIZES = ((2_000, 60), (2_000, 200), (5_000, 300))
"""n, and how many of them the dear attack saw."""
MODELS = (
    (0.5, 0.9, 0.5, 0.9),
    (0.5, 0.98, 0.5, 0.98),
    (0.5, 1.0, 0.52, 0.5 / 0.52),  # one dear attack finds nothing, the other what makes up for the cheap one
    (0.6, 0.75, 0.5, 0.9),
    (0.1, 0.8, 0.1, 0.8),
    (0.9, 0.99, 0.9, 0.99),
)
"""What the cheap attack leaves of all, and the dear one of those, of either model; the products are equal."""
CORRELATIONS = (0.0, 0.6, 0.95)
LEVEL = 0.05


def drawn(n: int, m: int, model: tuple[float, ...], rho: float, rng: np.random.Generator) -> Iterator[Stages]:
    """Both models on one slice; `rho` is the correlation of their outcomes' normal scores."""
    depth = np.where(np.arange(n) < m, 2, 1)
    stands = _pairs(n, rho, (model[0], model[2]), rng)
    kept = _pairs(n, rho, (model[1], model[3]), rng)
    for one, other in zip(stands, kept, strict=True):
        yield Stages(depth, one + (one & other & (depth == 2)).astype(np.int64))


def _pairs(n: int, rho: float, shares: tuple[float, ...], rng: np.random.Generator) -> list[NDArray[np.bool_]]:
    scores = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], size=n)
    ends = [NormalDist().inv_cdf(share) if share < 1 else np.inf for share in shares]
    return [scores[:, place] < end for place, end in enumerate(ends)]


def estimate(stages: Stages) -> Estimate:
    """The estimate that a table would show."""
    parts = [
        Part(
            attacks=("x",),
            n=int((stages.depth > place).sum()),
            kept=int(((stages.depth > place) & (stages.passed > place)).sum()),
            drawn=int(((stages.depth > place) & (stages.passed >= place)).sum()),
        )
        for place in range(2)
    ]
    return estimates_up([parts])[0]


def errors(n: int, m: int, model: tuple[float, ...], rho: float, draws: int) -> tuple[float, float, float]:
    """Shares of `draws` pairs that differ significantly: by our test, by percentiles, and outside our own interval."""
    rng = np.random.default_rng([n, m, int(1000 * rho), int(1000 * model[0]), int(1000 * model[1])])
    ours = percentiles = contradictions = 0
    for _ in range(draws):
        a, b = drawn(n, m, model, rho, rng)
        (pair,) = compare_estimates([(estimate(a), a)], [(estimate(b), b)])
        ours += pair.p <= LEVEL
        low, high = pair.interval
        contradictions += pair.p <= LEVEL and not (low > 0 if pair.difference > 0 else high < 0)
        one, other = resampled([a], [b], draws=500)
        low, high = np.quantile(one - other, [LEVEL / 2, 1 - LEVEL / 2])
        percentiles += bool(low > 0 or high < 0)
    return ours / draws, percentiles / draws, contradictions / draws


def main() -> None:
    """Print a line for each setting, and the largest shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2_000)
    draws = parser.parse_args().draws
    found = []
    for (n, m), model, rho in product(SIZES, MODELS, CORRELATIONS):
        shares = errors(n, m, model, rho, draws)
        found.append(shares)
        words = " ".join(f"{value:.3f}" for value in model)
        print(f"n={n} m={m} p,r: {words} rho={rho}: {shares[0]:.3f}, percentiles {shares[1]:.3f}", flush=True)
    ours, percentiles, contradictions = (max(values) for values in zip(*found, strict=True))
    print(f"largest: {ours:.3f}, percentiles {percentiles:.3f}; against their own interval {contradictions:.3f}")


if __name__ == "__main__":
    main()
