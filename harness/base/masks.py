"""Where a patch may lie: nested square masks, one place for each sample, drawn from its id alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.base.randomness import derive
from harness.base.threat import radius

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

NEVER = np.iinfo(np.int16).max
"""Side of the square over a pixel that no square inside the image covers."""


@dataclass(frozen=True)
class Masks:
    """The masks of some samples, at every share of the image.

    A sample's squares of side 1, 2, 3, ... lie in each other, and each lies at every place of the image with the same
    probability. How far an image is from its clean one is the share that the smallest square over all changed pixels
    covers; so a mask is to a patch what a ball is to a norm.
    """

    sides: Tensor
    """Side of the smallest square over each pixel, int16 [n,1,H,W]."""

    @classmethod
    def over(
        cls, ids: Sequence[int] | NDArray[np.int64], shape: Sequence[int], device: torch.device | str = "cpu"
    ) -> Masks:
        """The masks of samples with these ids [n], of images [...,H,W] of this `shape`."""
        import torch

        height, width = shape[-2:]
        whole = [int(one) for one in ids]
        largest = min(height, width)
        down = _covers(_draws("row", whole), height, largest)
        right = _covers(_draws("column", whole), width, largest)
        sides = np.maximum(down[:, None, :, None], right[:, None, None, :])
        return cls(torch.from_numpy(sides).to(device))

    def __getitem__(self, rows: Tensor | slice) -> Masks:
        """The masks of some of the rows."""
        return Masks(self.sides[rows])

    def __len__(self) -> int:
        return len(self.sides)

    def within(self, share: float) -> Tensor:
        """Which pixels squares that cover at most `share` of the image hold, bool [n,1,H,W]."""
        return self._share(self.sides) <= radius(share, "linf")

    def distance(self, images: Tensor, clean: Tensor) -> Tensor:
        """Covered share that the change of each row needs, float64 [n]; 0 where nothing changed.

        A pixel has changed if any channel is another number, by whatever little. NaN where a row holds NaN, infinite
        where a changed pixel lies in no square.
        """
        changed = (images.detach() != clean.detach()).any(1, keepdim=True)
        reach = self._share(self.sides.where(changed, self.sides.new_zeros(()))).flatten(1).amax(1)
        reach[images.detach().isnan().flatten(1).any(1)] = float("nan")
        return reach

    def _share(self, sides: Tensor) -> Tensor:
        """What squares of these sides cover, float64; infinite where there is none."""
        height, width = self.sides.shape[-2:]
        share = sides.double().square() / (height * width)
        return share.masked_fill(sides == NEVER, float("inf"))


def side_of(share: float, shape: Sequence[int]) -> int:
    """Side of the largest square that covers at most `share` of an image [...,H,W]; 0 if a pixel is more.

    It may be larger than the image is wide or high: then no square in it covers so much.
    """
    return math.isqrt(math.floor(radius(share, "linf") * shape[-2] * shape[-1]))


def _draws(axis: str, ids: Sequence[int]) -> NDArray[np.float64]:
    """A number from 0 up to 1 for each sample, [n]: the same in every run, on every machine."""
    return np.array([derive(0, "patch", axis, one) for one in ids], dtype=np.float64) / 2**31


def _covers(draws: NDArray[np.float64], size: int, largest: int) -> NDArray[np.int16]:
    """Along one axis, the side of the smallest square over each place, int16 [n,size].

    The square of side s begins at floor(u (size - s + 1)), where u is the sample's draw: that is uniform over the
    places where it fits, and as s grows by 1 it falls by 0 or 1, so that each square holds the smaller ones.
    """
    found = np.full((len(draws), size), NEVER, dtype=np.int16)
    places = np.arange(size)
    for side in range(largest, 0, -1):
        first = np.floor(draws * (size - side + 1))[:, None]
        found[(places >= first) & (places < first + side)] = side
    return found
