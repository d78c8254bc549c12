"""Where a patch may lie: nested square masks, drawn for each sample from its id alone, or about a given place."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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

_First = Callable[[int, int], "NDArray[np.float64]"]
"""From side and size of the axis to where the squares of that side begin, [n]."""


@dataclass(frozen=True)
class Masks:
    """The masks of some samples, at every share of the image.

    A sample's squares of side 1, 2, 3, ... lie in each other. How far an image is from its clean one is the share that
    the smallest square over all changed pixels covers; so a mask is to a patch what a ball is to a norm.
    """

    sides: Tensor
    """Side of the smallest square over each pixel, int16 [n,1,H,W]."""

    @classmethod
    def over(
        cls, ids: Sequence[int] | NDArray[np.int64], shape: Sequence[int], device: torch.device | str = "cpu"
    ) -> Masks:
        """The masks of samples with these ids [n], of images [...,H,W] of this `shape`.

        Each square lies at every place where it fits with the same probability.
        """
        whole = [int(one) for one in ids]
        return cls._of(_anywhere(_draws("row", whole)), _anywhere(_draws("column", whole)), shape, device)

    @classmethod
    def around(cls, boxes: NDArray[np.float64], shape: Sequence[int], device: torch.device | str = "cpu") -> Masks:
        """Squares about the middles of `boxes` [n,4] (left, top, right, bottom edge), as near as they fit."""
        left, top, right, bottom = boxes.T
        return cls._of(_about((top + bottom) / 2), _about((left + right) / 2), shape, device)

    @classmethod
    def _of(cls, down: _First, right: _First, shape: Sequence[int], device: torch.device | str) -> Masks:
        import torch

        height, width = shape[-2:]
        largest = min(height, width)
        rows, columns = _covers(down, height, largest), _covers(right, width, largest)
        sides = np.maximum(rows[:, None, :, None], columns[:, None, None, :])
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


def _anywhere(draws: NDArray[np.float64]) -> _First:
    """Of samples with these draws u, floor(u (size - side + 1)): uniform over the places where the square fits."""
    return lambda side, size: np.floor(draws * (size - side + 1))


def _about(middles: NDArray[np.float64]) -> _First:
    """Where the middle of the square is nearest to `middles` [n], in edges of pixels; of two, the lower place."""
    return lambda side, size: np.clip(np.ceil(middles - side / 2 - 0.5), 0, size - side)


def _covers(first: _First, size: int, largest: int) -> NDArray[np.int16]:
    """Along one axis, the side of the smallest square over each place, int16 [n,size].

    As the side grows by 1, `first` falls by 0 or 1, so that each square holds the smaller ones.
    """
    places = np.arange(size)
    begins = {side: first(side, size)[:, None] for side in range(largest, 0, -1)}
    found = np.full((len(begins[1]), size), NEVER, dtype=np.int16)
    for side, begin in begins.items():
        found[(places >= begin) & (places < begin + side)] = side
    return found
