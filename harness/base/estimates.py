"""Joined estimates: the worst case of attacks that ran on samples of different sizes, with an interval that covers all.

Full attacks saw all n samples of a slice and left some standing. A dearer attack ran on a prefix of the slice's fixed
random order only; of those that stood before it there, it leaves a share. The estimate is the product: the share that
the full attacks leave, times, for each dearer attack, the share it leaves of its *drawn* samples (those on its prefix
that still stood). Nothing else is assumed than that the order of the slice is random and that prefixes shrink.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from harness.base.statistics import exact_interval, wilson

Target = Literal["population", "set"]
"""What is estimated: the accuracy on images of the same kind, or on the slice itself, of which a part was not drawn."""


@dataclass(frozen=True)
class Factor:
    """What an attack left of the samples it was given."""

    kept: int
    drawn: int

    def __post_init__(self) -> None:
        if not 0 <= self.kept <= self.drawn:
            raise ValueError(f"a factor keeps {self.kept} of {self.drawn}")

    @property
    def share(self) -> float:
        """Kept of drawn; 1 where nothing was drawn, which says nothing against the samples that stood."""
        return self.kept / self.drawn if self.drawn else 1.0


@dataclass(frozen=True)
class Joined:
    """An estimated robust accuracy."""

    accuracy: float
    interval: tuple[float, float]
    """95 %, of what `join` was asked for."""

    @property
    def half_width(self) -> float:
        """Half of the interval's length; the interval need not be symmetric."""
        return (self.interval[1] - self.interval[0]) / 2


def join(full: Factor, further: Sequence[Factor] = (), target: Target = "population") -> Joined:
    """The estimate of the worst case of all attacks.

    Args:
        full: What all attacks that saw every sample left of all samples.
        further: For each further attack, in order, what it left of the samples that stood before it on its prefix.
        target: ``population``, or ``set``: the slice's own images, of which `full` is known and not estimated.

    The interval is MOVER's (method of variance estimates recovery; A. Donner and G. Y. Zou, Statistical Methods in
    Medical Research 2012): half-widths add as the root of the sum of ``(others' product x half-width)^2``. The first
    factor's interval is Wilson's, so that a complete run has the number and the interval of a complete cell; the drawn
    factors' are exact (Clopper-Pearson), because Wilson's is too short for few drawn samples and a share near 1.
    Coverage is simulated in ``benchmarks/estimates.py``.
    """
    shares = [full.share, *(factor.share for factor in further)]
    accuracy = math.prod(shares)
    if target == "population":
        first = wilson(full.kept, full.drawn)
        drawn = [exact_interval(factor.kept, factor.drawn) for factor in further]
    else:
        first = (full.share, full.share)
        drawn = _finite(full.kept, further)
    bounds = [first, *drawn]
    if any(factor.drawn == 0 for factor in further):
        # Nobody that stands was drawn: all that is known is what stands, at most.
        return Joined(accuracy, (0.0, first[1]))
    below = above = 0.0
    for index, (share, (low, high)) in enumerate(zip(shares, bounds, strict=True)):
        others = math.prod(shares[:index] + shares[index + 1 :])
        below += (others * (share - low)) ** 2
        above += (others * (high - share)) ** 2
    return Joined(accuracy, (max(0.0, accuracy - math.sqrt(below)), min(first[1], accuracy + math.sqrt(above))))


def monotone(estimates: Sequence[Joined]) -> list[Joined]:
    """Estimates at ascending epsilons, none above the one before it.

    A larger ball cannot be safer; estimates can say so by chance, since each epsilon has factors of its own. Bounds are
    treated like the estimates, so each interval still covers the accuracy that it did.
    """
    shown: list[Joined] = []
    for estimate in estimates:
        if shown:
            last = shown[-1]
            accuracy = min(estimate.accuracy, last.accuracy)
            low = min(estimate.interval[0], accuracy)
            estimate = Joined(accuracy, (low, max(accuracy, min(estimate.interval[1], last.interval[1]))))
        shown.append(estimate)
    return shown


@lru_cache(maxsize=65_536)
def finite_interval(kept: int, drawn: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of the share that is kept of `total` samples of which `drawn` were drawn, without replacement.

    The hypergeometric counterpart of `exact_interval`; a point where all were drawn.
    """
    from scipy.stats import hypergeom

    if drawn == 0:
        return 0.0, 1.0
    tail = (1 - level) / 2
    least, most = kept, total - (drawn - kept)

    low = _first(least, most, lambda whole: hypergeom.sf(kept - 1, total, whole, drawn) > tail)
    beyond = _first(least, most + 1, lambda whole: hypergeom.cdf(kept, total, whole, drawn) <= tail)
    return low / total, (beyond - 1) / total


def _first(below: int, above: int, holds: Callable[[int], bool]) -> int:
    """The smallest number of [below, above) for which `holds`, which does from there on; `above` if it never does."""
    while below < above:
        middle = (below + above) // 2
        below, above = (below, middle) if holds(middle) else (middle + 1, above)
    return below


def _finite(standing: int, further: Sequence[Factor]) -> list[tuple[float, float]]:
    """Intervals of the shares that further attacks would leave of all of the slice's samples that stood before them."""
    bounds = []
    for factor in further:
        total = max(standing, factor.drawn)
        bounds.append(finite_interval(factor.kept, factor.drawn, total))
        standing = round(total * factor.share)
    return bounds
