"""Image files with labels as a data set: read when they are taken, all of one size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.errors import BadData
from model_zoo.datasets.pictures import WHITE, Pixels, has_alpha, read_pixels, resize, say

LOOKED = 64
"""Files that are looked at, spread over the set, for the depth of 16-bit pixels and for alpha channels."""


class ImageFiles:
    """Images read from their files when they are taken; all must have the size of the first one.

    Args:
        name: The data set's name.
        samples: Path and label of each image.
        classes: Class names.
        size: Height and width that every image is resized to; None refuses images of another size than the first one's.
        channels: 3, or 1 for gray images.
        bits: Depth of the content of 16-bit pixels; None takes 16, if the images reach beyond half of that.
        edges: A box for each image: left, top, right, bottom in pixels of its file, before any resizing; or None.
    """

    def __init__(
        self,
        name: str,
        samples: Sequence[tuple[str, int]],
        classes: Sequence[str],
        *,
        size: tuple[int, int] | None = None,
        channels: int = 3,
        bits: int | None = None,
        edges: Sequence[Sequence[float]] | None = None,
    ) -> None:
        self.name = name
        self.classes = tuple(classes)
        self._samples = list(samples)
        self._size = size
        self._channels = channels
        self._white = None if bits is None else 2**bits - 1
        self._shape: tuple[int, ...] | None = None
        self._edges = edges

    def __len__(self) -> int:
        return len(self._samples)

    def take(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Images float32 [n,C,H,W] in [0,1] and labels int64 [n], in the order asked.

        Raises:
            BadData: a file is no image, has pixels that cannot be read rightly, or another size than the first one;
                names the file.
        """
        rows = [int(i) for i in indices]
        labels = torch.tensor([self._samples[i][1] for i in rows], dtype=torch.int64)
        if not rows:
            return torch.empty(0, self._channels, *self._first_shape()[:2]), labels
        return torch.stack([self._scaled(self._pixels(i), i) for i in rows]).permute(0, 3, 1, 2).contiguous(), labels

    def boxes(self, indices: Sequence[int]) -> NDArray[np.float64] | None:
        """See `harness.types.Boxed`; boxes grow and shrink with their images. Raises as `take`."""
        if self._edges is None:
            return None
        found = np.array([self._edges[int(i)] for i in indices], dtype=np.float64).reshape(-1, 4)
        if self._size is not None:
            height, width = self._size
            for box, i in zip(found, indices, strict=True):
                rows, columns = read_pixels(Path(self._samples[int(i)][0]), self._channels).shape[:2]
                box *= np.array([width / columns, height / rows] * 2)
        return found

    def _first_shape(self) -> tuple[int, ...]:
        if self._shape is None:
            self._shape = self._read(0).shape
            if any(has_alpha(Path(self._samples[i][0])) for i in self._spread()):
                say(f"{self.name}: alpha channels are left out; what they hide is shown")
        return self._shape

    def _read(self, index: int) -> Pixels:
        pixels = read_pixels(Path(self._samples[index][0]), self._channels)
        return pixels if self._size is None else resize(pixels, *self._size)

    def _pixels(self, index: int) -> Pixels:
        pixels, expected = self._read(index), self._first_shape()
        if pixels.shape != expected:
            raise BadData(
                f"image {self._samples[index][0]} is {pixels.shape[1]}x{pixels.shape[0]}, the first one of the folder"
                f" {expected[1]}x{expected[0]}; resize them all to one size, or let ?size={expected[1]}x{expected[0]}"
                " behind the path do it"
            )
        return pixels

    def _scaled(self, pixels: Pixels, index: int) -> Tensor:
        if pixels.dtype == np.uint8:
            return torch.from_numpy(np.array(pixels)).float().div_(255)
        white = self._deep_white()
        if (highest := int(pixels.max(initial=0))) > white:
            raise BadData(f"image {self._samples[index][0]} has a pixel of {highest}, above the white of {white}")
        return torch.from_numpy(pixels.astype(np.float32)).div_(white)

    def _deep_white(self) -> int:
        """The value of white in 16-bit pixels."""
        if self._white is None:
            deep = [pixels for i in self._spread() if (pixels := self._read(i)).dtype == np.uint16]
            highest = max((int(pixels.max(initial=0)) for pixels in deep), default=WHITE)
            if highest <= WHITE // 2:
                raise BadData(
                    f"{self.name} has 16-bit images whose brightest pixel is {highest}, of {len(deep)} looked at; say"
                    f" how many bits are used: ?bits={highest.bit_length()} behind the path, or ?bits=16 if they are"
                    " that dark"
                )
            self._white = WHITE
            say(f"{self.name}: 16-bit pixels, white is {WHITE}")
        return self._white

    def _spread(self) -> list[int]:
        return sorted({int(i) for i in np.linspace(0, len(self._samples) - 1, min(LOOKED, len(self._samples)))})
