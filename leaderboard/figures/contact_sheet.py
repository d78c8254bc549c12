"""One sample under every kind and severity, as a contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from harness.inputs.corruptions.attack import eight_bits
from harness.inputs.corruptions.kinds import corrupted
from harness.types import Dataset

CELL, GAP, NAMES = 96, 6, 120
"""Pixels: of an image's longer side, between images, and of the column of names."""
HEAD = 18


def draw_sheet(data: Dataset, sample: int, kinds: Sequence[str], severities: Sequence[int], path: Path) -> None:
    """Write a PNG: a row for each kind, the clean image first, then the severities.

    Args:
        data: The data set.
        sample: Which of its images.
        kinds: Names of kinds.
        severities: From 1 to 5.
        path: Of the PNG.
    """
    clean = eight_bits(data.take([sample])[0]).numpy()
    high, wide = clean.shape[2:]
    scale = max(1, CELL // max(high, wide))
    cell = wide * scale + GAP, high * scale + GAP
    size = NAMES + cell[0] * (1 + len(severities)), HEAD + cell[1] * len(kinds)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for column, title in enumerate(["clean", *(f"severity {severity}" for severity in severities)]):
        pen.text((NAMES + column * cell[0], 2), title, fill="black")
    for row, kind in enumerate(kinds):
        top = HEAD + row * cell[1]
        pen.text((4, top + cell[1] // 2 - 8), kind, fill="black")
        shown = [clean, *(corrupted(clean, [sample], kind, severity) for severity in severities)]
        for column, image in enumerate(shown):
            sheet.paste(_picture(image[0], scale), (NAMES + column * cell[0], top))
    sheet.save(path)


def _picture(pixels: NDArray[np.uint8], scale: int) -> Image.Image:
    """An image [C,H,W], enlarged; of other than three channels the first is shown."""
    rgb = pixels if len(pixels) == 3 else np.repeat(pixels[:1], 3, axis=0)
    found = Image.fromarray(np.ascontiguousarray(rgb.transpose(1, 2, 0)))
    return found.resize((found.width * scale, found.height * scale), Image.Resampling.NEAREST)
