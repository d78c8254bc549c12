"""What several kinds are made of: blending, weighted neighbors, sampling between pixels, clouds.

Only elementwise float32 arithmetic, whose every step IEEE 754 fixes, and sums in a written order: numpy's own sums,
products of matrices and transcendental functions round differently from version to version and machine to machine.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from harness.inputs.corruptions.draws import Draws, Floats

Kernel = Mapping[tuple[int, int], float]
"""Weights by how many pixels down and right; they are divided by their sum."""
GRAIN = 48
"""Drops and flakes lie on a grid of at most so many cells along the shorter side, however large the image."""


def side_of(images: Floats) -> int:
    """The shorter side of images [n,C,H,W], in pixels: lengths are shares of it."""
    return int(min(images.shape[2:]))


def blend(images: Floats, color: float, cover: Floats) -> Floats:
    """Images [n,C,H,W] under a layer of one gray value, which hides the share `cover` [n,1,H,W] of what is behind."""
    return images + (np.float32(color) - images) * cover


def weighted(images: Floats, kernel: Kernel) -> Floats:
    """Weighted mean of each pixel's neighbors; beyond the border its last pixel goes on. Images [n,C,H,W]."""
    reach = max(max(abs(down), abs(right)) for down, right in kernel)
    if reach == 0:
        return images
    high, wide = images.shape[2:]
    padded = np.pad(images, ((0, 0), (0, 0), (reach, reach), (reach, reach)), mode="edge")
    total = sum(kernel[place] for place in sorted(kernel))
    found = np.zeros_like(images)
    for down, right in sorted(kernel):
        top, left = reach + down, reach + right
        found += padded[:, :, top : top + high, left : left + wide] * np.float32(kernel[down, right] / total)
    return found


def line(down: float, right: float, length: float) -> dict[tuple[int, int], float]:
    """A kernel along the unit vector (`down`, `right`), `length` pixels long."""
    kernel: dict[tuple[int, int], float] = {}
    steps = max(1, int(2 * length + 0.5))
    for step in range(steps + 1):
        at = length * (step / steps - 0.5)
        for place, weight in _corners(down * at, right * at):
            if weight > 0:
                kernel[place] = kernel.get(place, 0.0) + weight
    return kernel


def _corners(down: float, right: float) -> list[tuple[tuple[int, int], float]]:
    """The four pixels around a point, with its bilinear weights."""
    top, left = int(down // 1), int(right // 1)
    low, far = down - top, right - left
    return [
        ((top, left), (1 - low) * (1 - far)),
        ((top, left + 1), (1 - low) * far),
        ((top + 1, left), low * (1 - far)),
        ((top + 1, left + 1), low * far),
    ]


def sampled(images: Floats, down: Floats, right: Floats) -> Floats:
    """Bilinear samples of images [n,C,H,W] at pixel coordinates `down` and `right`, [n,H',W'] each; clamped inside."""
    n, channels, high, wide = images.shape
    shape = np.broadcast_shapes(down.shape, right.shape, (n, 1, 1))
    down = np.broadcast_to(np.clip(down, 0, high - 1), shape)
    right = np.broadcast_to(np.clip(right, 0, wide - 1), shape)
    top = np.minimum(down.astype(np.int64), max(high - 2, 0))
    left = np.minimum(right.astype(np.int64), max(wide - 2, 0))
    low, far = (down - top.astype(np.float32))[:, None], (right - left.astype(np.float32))[:, None]
    flat = images.reshape(n, channels, high * wide)

    def corner(rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Floats:
        places = (np.minimum(rows, high - 1) * wide + np.minimum(columns, wide - 1)).reshape(n, 1, -1)
        return np.take_along_axis(flat, places, axis=2).reshape(n, channels, *shape[1:])

    above = corner(top, left) + (corner(top, left + 1) - corner(top, left)) * far
    below = corner(top + 1, left) + (corner(top + 1, left + 1) - corner(top + 1, left)) * far
    return above + (below - above) * low


def coordinates(high: int, wide: int) -> tuple[Floats, Floats]:
    """Pixel coordinates of an image, [1,H,1] and [1,1,W]."""
    return np.arange(high, dtype=np.float32)[None, :, None], np.arange(wide, dtype=np.float32)[None, None, :]


def stretched(layer: Floats, high: int, wide: int) -> Floats:
    """A layer [n,1,h,w] as large as the image, corner on corner, [n,1,H,W]."""
    rows, columns = layer.shape[2:]
    if (rows, columns) == (high, wide):
        return layer
    down, right = coordinates(high, wide)
    return sampled(
        layer, down * np.float32((rows - 1) / max(high - 1, 1)), right * np.float32((columns - 1) / max(wide - 1, 1))
    )


def cloud(draws: Draws, high: int, wide: int, cells: int, octaves: int) -> Floats:
    """Value noise in [0,1], [n,1,H,W]: random grids of `cells`, twice as many, ..., each with half the weight."""
    found, weight, total = None, 1.0, 0.0
    for octave in range(octaves):
        count = cells * 2**octave
        layer = stretched(draws.uniform(1, count + 1, count + 1), high, wide) * np.float32(weight)
        found = layer if found is None else found + layer
        weight, total = weight / 2, total + weight
    if found is None:
        raise ValueError("a cloud has at least one octave")
    return found / np.float32(total)


def grain_of(high: int, wide: int) -> tuple[int, int]:
    """Rows and columns of the grid that drops and flakes lie on; that of the pixels in small images."""
    side = min(high, wide)
    return (high, wide) if side <= GRAIN else (high * GRAIN // side, wide * GRAIN // side)
