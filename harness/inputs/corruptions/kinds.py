"""A kind of corruption, and the images it makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from harness.base.threat import SEVERITIES
from harness.errors import PluginError, UsageError
from harness.inputs.corruptions.draws import Draws, Floats
from harness.inputs.registry import Registry

Family = Literal["noise", "blur", "weather", "digital"]
FAMILIES: tuple[Family, ...] = get_args(Family)
SMALLEST = 8
"""Pixels of the shorter side below which nothing is left to corrupt."""
Strengths = Mapping[int, Sequence[int]]
"""By side of the image in pixels, the strength of each severity in thousandths."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of corruption, as an entry point of ``harness.corruptions`` names it."""

    family: Family
    words: str
    """What happens to the image and what the strength is, in a sentence."""
    corrupt: Callable[[Floats, Draws, float], Floats]
    """Takes images float32 [n,C,H,W] of values 0 to 255, the samples' draws and a strength from 0 to 1; returns such
    images, which are cut to 0..255 and rounded for it."""
    strengths: Strengths
    """Between the sides, strengths are interpolated; beyond them the nearest one's hold."""
    version: int = 1
    """Rises whenever an image changes."""
    smallest: int = SMALLEST
    """Pixels that the shorter side must have."""
    exact: bool = True
    """Whether the image is the same, bit for bit, under every version of numpy, scipy and Pillow."""

    def strength(self, severity: int, side: int) -> float:
        """The strength of a severity in images whose shorter side has `side` pixels.

        Raises:
            UsageError: no such severity, or images too small.
        """
        if severity not in SEVERITIES:
            raise UsageError(f"severity {severity!r} is none of {', '.join(map(str, SEVERITIES))}")
        if side < self.smallest:
            raise UsageError(f"images of {side} pixels are too small; the shorter side must have {self.smallest}")
        known = sorted(self.strengths)
        told = [self.strengths[one][severity - 1] for one in known]
        if side <= known[0] or side >= known[-1]:
            return (told[0] if side <= known[0] else told[-1]) / 1000
        for (low, a), (high, b) in pairwise(zip(known, told, strict=True)):
            if low <= side <= high:
                return (a * (high - side) + b * (side - low)) / (1000 * (high - low))
        raise AssertionError("the sides ascend")


def load_kind(name: str) -> Kind:
    """A registered kind.

    Raises:
        UnknownName: nobody registers it.
        PluginError: what is registered is no kind.
    """
    registry = Registry("corruptions")
    kind = registry.load(name)
    if not isinstance(kind, Kind):
        package = registry.get(name).package
        raise PluginError(f"corruption {name!r} of package {package} is {type(kind).__name__}, which is no Kind")
    return kind


def corrupted(
    images: NDArray[np.uint8], ids: Sequence[int], name: str, severity: int, kind: Kind | None = None
) -> NDArray[np.uint8]:
    """Images as they look under one kind and severity; each hangs on itself, its id, the kind and the severity alone.

    Args:
        images: uint8 [n,C,H,W].
        ids: Their sample ids, which decide the draws.
        name: The kind's registered name; two kinds draw differently.
        severity: 1 to 5.
        kind: The kind, if it is not registered.

    Returns:
        uint8 [n,C,H,W].

    Raises:
        UnknownName: nobody registers the kind.
        PluginError: a kind of another package failed.
        UsageError: no such severity, or images too small.
    """
    kind = load_kind(name) if kind is None else kind
    strength = kind.strength(severity, min(images.shape[2:]))
    if not len(images):
        return images.copy()
    try:
        found = kind.corrupt(images.astype(np.float32), Draws(ids, name), strength)
    except Exception as error:
        raise PluginError(f"corruption {name!r} failed with {type(error).__name__}: {error}") from error
    if found.shape != images.shape:
        raise PluginError(f"corruption {name!r} gave images {found.shape} for {images.shape}")
    rounded: NDArray[np.uint8] = np.floor(np.clip(found, 0, 255) + np.float32(0.5)).astype(np.uint8)
    return rounded
