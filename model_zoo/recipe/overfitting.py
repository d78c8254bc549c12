"""Catastrophic overfitting: one-step robustness that rises while robustness to iterated attacks collapses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

COLLAPSE = 0.5
"""Quick-PGD accuracy must fall below this share of its best."""
NOTICEABLE = 0.1
"""A best below this was never robustness, so that it cannot collapse."""


def overfitting_epoch(history: Sequence[Mapping[str, float]]) -> int | None:
    """The first epoch at which catastrophic overfitting shows, or None (Wong et al., 2020).

    It shows when quick-PGD accuracy is less than half of its best so far although FGSM accuracy is at least what it was
    at that best.

    Args:
        history: one mapping an epoch with ``epoch``, ``fgsm`` and ``pgd`` (accuracies in [0,1]).
    """
    best: Mapping[str, float] | None = None
    for row in history:
        if best is None or row["pgd"] > best["pgd"]:
            best = row
        elif best["pgd"] >= NOTICEABLE and row["pgd"] < COLLAPSE * best["pgd"] and row["fgsm"] >= best["fgsm"]:
            return int(row["epoch"])
    return None
