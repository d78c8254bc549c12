"""Faults of processing: contrast, resolution, compression, geometry."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from harness.inputs.corruptions.draws import Draws, Floats
from harness.inputs.corruptions.fields import cloud, coordinates, sampled, side_of
from harness.inputs.corruptions.kinds import Kind
from harness.inputs.corruptions.strengths import STRENGTHS


def _contrast(images: Floats, draws: Draws, strength: float) -> Floats:
    whole = images.astype(np.int64).sum(axis=(1, 2, 3), keepdims=True)  # of integers, so that no order matters
    mean = (whole / images[0].size).astype(np.float32)
    found: Floats = mean + (images - mean) * np.float32(1 - strength)
    return found


def _pixelate(images: Floats, draws: Draws, strength: float) -> Floats:
    found = images
    for axis in (2, 3):
        size = images.shape[axis]
        cells = max(1, round(size * (1 - strength)))
        of_cell = np.arange(size) * cells // size
        starts = np.searchsorted(of_cell, np.arange(cells))
        counts = np.bincount(of_cell).astype(np.float32).reshape((-1, 1) if axis == 2 else (1, -1))
        sums = np.add.reduceat(np.floor(found * np.float32(16)).astype(np.int64), starts, axis=axis)
        found = np.take(sums.astype(np.float32) / (counts * np.float32(16)), of_cell, axis=axis)
    return found


def _jpeg(images: Floats, draws: Draws, strength: float) -> Floats:
    quality = max(1, round(100 * (1 - strength)))
    pixels = images.astype(np.uint8)
    found = np.empty_like(pixels)
    for image, into in zip(pixels, found, strict=True):
        if len(image) == 3:
            into[:] = _through_jpeg(image.transpose(1, 2, 0), quality).transpose(2, 0, 1)
        else:
            for channel, channel_into in zip(image, into, strict=True):
                channel_into[:] = _through_jpeg(channel, quality)
    return found.astype(np.float32)


def _through_jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    """Pixels uint8 [H,W,3] or [H,W], compressed and back."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def _elastic(images: Floats, draws: Draws, strength: float) -> Floats:
    high, wide = images.shape[2:]
    down, right = coordinates(high, wide)
    reach = np.float32(2 * strength * side_of(images))
    off = [(cloud(draws, high, wide, cells=4, octaves=2)[:, 0] - np.float32(0.5)) * reach for _ in range(2)]
    return sampled(images, down + off[0], right + off[1])


CONTRAST = Kind(
    family="digital", corrupt=_contrast, strengths=STRENGTHS["contrast"],
    words="Values nearer to the image's mean; the strength is the share of the contrast that is lost.",
)  # fmt: skip
PIXELATE = Kind(
    family="digital", corrupt=_pixelate, strengths=STRENGTHS["pixelate"],
    words="Fewer pixels, shown as squares; the strength is the share of rows and columns that are lost.",
)  # fmt: skip
JPEG = Kind(
    family="digital", corrupt=_jpeg, strengths=STRENGTHS["jpeg"], exact=False,
    words="JPEG of quality 100 (1 - strength), by Pillow, whose library may round differently from version to version.",
)  # fmt: skip
ELASTIC = Kind(
    family="digital", corrupt=_elastic, strengths=STRENGTHS["elastic"],
    words="Bent like rubber; the strength is how far a point moves at most, as a share of the shorter side.",
)  # fmt: skip
