"""Where patches lie: drawn from the samples' ids, at the center, or about the boxes that the data give."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from harness.base.masks import Masks
from harness.errors import BadData, HarnessError
from harness.inputs.corruptions.data import Corrupted
from harness.inputs.samples import Slice
from harness.types import Dataset, Place

Ids = Sequence[int] | NDArray[np.int64]
SLACK = 1e-6
"""Pixels by which a box may lie outside its image: boxes of resized images are scaled, which rounds."""


def masks_of(place: Place, data: Dataset, ids: Ids, shape: Sequence[int], device: torch.device | str = "cpu") -> Masks:
    """The masks of samples with these ids [n], of images [...,H,W] of this `shape`; raises as `boxes_of`."""
    if place == "drawn":
        return Masks.over(ids, shape, device)
    if place == "boxes":
        return Masks.around(boxes_of(data, ids, shape), shape, device)
    height, width = shape[-2:]
    return Masks.around(np.tile(np.array([0, 0, width, height], dtype=np.float64), (len(ids), 1)), shape, device)


def boxes_of(data: Dataset, ids: Ids, shape: Sequence[int]) -> NDArray[np.float64]:
    """The boxes of samples, float64 [n,4]: left, top, right and bottom edge in pixels of images [...,H,W].

    Raises:
        BadData: the data set has none, or one that lies not in its image; names the sample.
    """
    source = data
    while isinstance(source, Corrupted):  # what lies where does not change
        source = source.source
    give = getattr(source, "boxes", None)
    rows = [int(one) for one in ids]
    try:
        given = give(rows) if callable(give) else None
        found = None if given is None else np.asarray(given, dtype=np.float64)
    except HarnessError:
        raise
    except Exception as error:  # whatever a stranger's data set raises
        raise BadData(f"boxes of data set {data.name!r} failed with {type(error).__name__}: {error}") from error
    if found is None:
        raise BadData(
            f"data set {data.name!r} has no boxes, by which a patch of place 'boxes' is laid; take place 'drawn' or"
            " 'center', or give it boxes"
        )
    if found.shape != (len(rows), 4):
        raise BadData(f"data set {data.name!r} gave boxes {found.shape} for {len(rows)} samples; expected [n,4]")
    height, width = shape[-2:]
    left, top, right, bottom = found.T
    inside = (left >= -SLACK) & (top >= -SLACK) & (right <= width + SLACK) & (bottom <= height + SLACK)
    good = inside & (left < right) & (top < bottom)  # NaN fails too
    if not good.all():
        at = int(np.flatnonzero(~good)[0])
        box = ", ".join(f"{edge:g}" for edge in found[at])
        raise BadData(
            f"data set {data.name!r}: the box of sample {rows[at]} is ({box}); expected left < right and top < bottom"
            f" in an image of {width}x{height}"
        )
    return found


def boxes_digest(part: Slice) -> str:
    """``sha256:`` of the boxes of a slice, float64 [n,4], little-endian, in its order; raises as `boxes_of`."""
    shape = part.take(0)[0].shape
    found = boxes_of(part.data, part.indices, shape)
    return f"sha256:{hashlib.sha256(np.ascontiguousarray(found, dtype='<f8').tobytes()).hexdigest()}"
