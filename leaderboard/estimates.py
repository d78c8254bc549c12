"""A worst case that is an estimate: from attacks that ran on different numbers of samples, with its factors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.base.estimates import Factor, Target, join, monotone

ESTIMATED = "estimated"
"""Status of a score that is no count."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One factor: what some attacks left of the samples that stood before them, among the first n of the slice."""

    attacks: tuple[str, ...]
    n: int
    kept: int
    drawn: int
    """Samples that stood before; of the first factor all n."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The share that all attacks would leave of all samples."""

    accuracy: float
    """The product of the factors, or the figure of a smaller epsilon if that is less: a larger ball is not safer."""
    ci95: tuple[float, float]
    """Covers the accuracy on images of this kind."""
    of_slice: tuple[float, float]
    """Covers what all attacks would leave of this very slice, of which the first attacks saw every sample."""
    lowered: bool
    """Whether the figure is that of a smaller epsilon."""
    factors: tuple[Part, ...]


def estimates_up(factors: Sequence[Sequence[Part]]) -> list[Estimate]:
    """The estimates at ascending epsilons, from the factors at each; see `harness.base.estimates`."""

    def joined(parts: Sequence[Part], target: Target) -> tuple[Factor, list[Factor], Target]:
        first, *further = (Factor(part.kept, part.drawn) for part in parts)
        return first, further, target

    raw = [join(*joined(parts, "population")) for parts in factors]
    slices = monotone([join(*joined(parts, "set")) for parts in factors])
    return [
        Estimate(
            accuracy=shown.accuracy,
            ci95=shown.interval,
            of_slice=of_slice.interval,
            lowered=shown.accuracy < product.accuracy,
            factors=tuple(parts),
        )
        for parts, product, shown, of_slice in zip(factors, raw, monotone(raw), slices, strict=True)
    ]
