"""Pixels as people have them, to float32 [n,C,H,W] in [0,1]: the layout is read from the axes, never guessed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.errors import BadData

CHANNELS = (1, 3)
BY_OPTION = "say ?layout=nchw or ?layout=nhwc"


def as_floats(images: NDArray[Any], layout: str, white: float) -> Tensor:
    """Images float32 [n,C,H,W] in [0,1].

    Args:
        images: Of any numeric type.
        layout: As `layout_of` says.
        white: The value that becomes 1.
    """
    found = torch.from_numpy(np.ascontiguousarray(images).astype(np.float32))
    if layout == "nhw":
        found = found[:, None]
    elif layout == "nhwc":
        found = found.permute(0, 3, 1, 2)
    return found.contiguous().div_(white)


def layout_of(images: NDArray[Any], where: str, asked: str | None = None, decide: str = BY_OPTION) -> str:
    """Which axis has the channels: ``nchw``, ``nhwc`` or ``nhw``.

    Args:
        images: The array.
        where: What the error calls it.
        asked: What was said of it; None decides by the axes of 1 or 3.
        decide: What the error says to do where it could be two.

    Raises:
        BadData: no such layout, or it could be two.
    """
    shape = images.shape
    if images.dtype.kind not in "buif" or images.dtype.itemsize > 8:
        raise BadData(f"{where} are of type {images.dtype}; expected numbers")
    if len(shape) == 3 and asked is None:
        return "nhw"
    if len(shape) != 4:
        raise BadData(f"{where} are {shape}; expected [N,H,W], [N,C,H,W] or [N,H,W,C]")
    fitting = [name for name, axis in (("nchw", 1), ("nhwc", 3)) if shape[axis] in CHANNELS]
    if asked is not None and asked not in fitting:
        raise BadData(f"{where} are {shape}, which is not {asked} with 1 or 3 channels")
    if not fitting:
        raise BadData(f"{where} are {shape}: neither the second nor the last axis has 1 or 3 channels")
    if asked is None and len(fitting) == 2:
        raise BadData(f"{where} are {shape}: channels may be the second or the last axis; {decide}")
    return asked or fitting[0]
