"""The fixed random order in which every data set is measured: its first n samples are a random draw, nested in n."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ORDER_SEED = 20110701
"""Seed of the fixed order, for all data sets."""
SEARCHED = 200_000_000
"""Numbers permuted at most while the size of a data set is looked for: a few seconds."""


def fixed_order(size: int) -> NDArray[np.int64]:
    """The places of a data set of `size` samples, [size], in the order in which they are measured."""
    return np.random.default_rng(ORDER_SEED).permutation(size).astype(np.int64)


def order_of(ids: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The samples `ids` in the order in which they were measured, if they are the first of some data set.

    A run keeps which samples it measured, but not how large the data set was; only one size has these samples first.

    Args:
        ids: Ascending, without duplicates, [n].

    Returns:
        The same ids in the fixed order; None if they are the first n of no size that is worth trying.
    """
    if not len(ids):
        return None
    size = int(ids[-1]) + 1
    tries = max(1, min(SEARCHED // size, 1 + 50 * size // len(ids)))  # the largest id of n is size/n below the size
    for candidate in range(size, size + tries):
        first = fixed_order(candidate)[: len(ids)]
        if np.array_equal(np.sort(first), ids):
            return first
    return None
