"""Labels as arrays from anywhere: whole numbers, one-hot rows, or whole numbers stored as floats."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import BadData

MOST_CLASSES = 100_000


def as_labels(array: NDArray[Any], n: int, where: str, first: int = 0) -> tuple[NDArray[np.int64], int]:
    """Labels int64 [n] from 0, and the number of classes that they show.

    Args:
        array: Whole numbers [n] or [n,1] of any type, or one-hot rows [n,K].
        n: Number of images.
        where: What to call it.
        first: What the labels count from, 0 or 1.

    Raises:
        BadData: another number of labels, or values that are none of that.
    """
    if array.dtype.kind not in "buif":
        raise BadData(f"{where} are of type {array.dtype}; expected whole numbers or one-hot rows")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim not in (1, 2) or len(array) != n:
        raise BadData(f"{where} are {array.shape} for {n} images; expected {n} whole numbers or one-hot rows")
    if array.ndim == 2:
        if not (((array == 0) | (array == 1)).all() and (array.sum(1) == 1).all()):
            raise BadData(
                f"{where} are {array.shape}, but not one-hot: a row has not one 1 and zeros; give class numbers"
            )
        return array.argmax(1).astype(np.int64), array.shape[1]
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.round(array)).all()):
        raise BadData(f"{where} are {array.dtype} with fractions; expected {n} whole numbers")
    if n == 0:
        return np.zeros(0, dtype=np.int64), 0
    low, high = int(array.min()), int(array.max())
    if low < first or high >= MOST_CLASSES:
        raise BadData(f"{where} run from {low} to {high}; class numbers count from {first}")
    return array.astype(np.int64) - first, high + 1 - first
