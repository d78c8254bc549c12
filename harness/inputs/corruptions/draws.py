"""Random numbers that are the same under every version of every library, one stream for each sample.

A stream is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014), started at a
mixture of the sample's id and the kind's name. Its integers wrap around, which numpy does alike everywhere; numpy's own
generators promise no such thing (NEP 19).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_GOLDEN = 0x9E3779B97F4A7C15
_BITS = 12
"""Of a normal draw: the table has so many entries, which end at 3.67 standard deviations."""


class Draws:
    """The streams of some samples; whatever is asked first is drawn first.

    Args:
        ids: Sample ids.
        name: Of the kind: two kinds draw differently.
    """

    def __init__(self, ids: Sequence[int], name: str) -> None:
        start = np.array(ids, np.int64).astype(np.uint64) * np.uint64(_GOLDEN)
        self._state = _mixed(start + np.uint64(zlib.crc32(name.encode())))
        self._drawn = 0

    def bits(self, count: int) -> NDArray[np.uint64]:
        """The next `count` 64-bit numbers of every stream, [n, count]."""
        steps = np.arange(self._drawn + 1, self._drawn + 1 + count, dtype=np.uint64) * np.uint64(_GOLDEN)
        self._drawn += count
        return _mixed(self._state[:, None] + steps)

    def uniform(self, *shape: int) -> Floats:
        """Multiples of 1/65536 in [0,1), [n, *shape]."""
        return self._parts(16, shape).astype(np.float32) / np.float32(65536)

    def normal(self, *shape: int) -> Floats:
        """Standard normal draws, cut off at 3.67 and in steps of 1/1024, [n, *shape]."""
        return normal_table()[self._parts(_BITS, shape)]

    def _parts(self, width: int, shape: tuple[int, ...]) -> NDArray[np.uint64]:
        """Numbers of `width` bits; as many as fit are cut from one 64-bit number."""
        count, each = int(np.prod(shape, dtype=np.int64)), 64 // width
        words = self.bits(-(-count // each))
        shifts = np.arange(each, dtype=np.uint64) * np.uint64(width)
        cut = (words[:, :, None] >> shifts) & np.uint64((1 << width) - 1)
        return cut.reshape(len(words), -1)[:, :count].reshape(len(words), *shape)


@cache
def normal_table() -> Floats:
    """Quantiles of the standard normal distribution at the middles of 4096 equal shares, rounded to 1/1024."""
    size = 1 << _BITS
    upper = [round(1024 * NormalDist().inv_cdf((k + 0.5) / size)) for k in range(size // 2, size)]
    return np.array([-value for value in reversed(upper)] + upper, np.float32) / np.float32(1024)


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's output function."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
