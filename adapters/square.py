"""On which images the tools' Square attack cannot run: its start in l2 and l1 lays tiles that may leave the image."""

from __future__ import annotations

import math


def misfit(height: int, width: int, norm: str, p_init: float | None = None) -> str | None:
    """Why Square would crash on images of this size, in words; None if it would not.

    Tiles of a fifth of the height are laid from a margin that the height sets, as many as the whole image holds: on
    24x24 the last one ends at 26. Less than 5 rows make tiles of size 0.

    Args:
        height: Of the images.
        width: Of the images.
        norm: In linf nothing is tiled, and every size will do.
        p_init: Share of pixels of the first window, for tools that do not hold windows inside the image; None for
            those that do.
    """
    if norm == "linf":
        return None
    size = height // 5
    start = (height - 5 * size) // 2
    if size == 0:
        return f"its start in {norm} needs images of at least 5 rows, and these have {height}"
    ends = [start + (side // size) * size for side in (height, width)]
    if 1 < size <= width and (ends[0] > height or ends[1] > width):
        return f"its start in {norm} lays tiles that leave images of {height}x{width}"
    if p_init is not None:
        window = max(round(math.sqrt(p_init * height * width)), 3)
        window += 1 - window % 2
        if window > min(height, width):
            return f"its first window in {norm} is {window} pixels wide, too large for images of {height}x{width}"
    return None
