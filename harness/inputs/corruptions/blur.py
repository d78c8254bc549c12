"""Blur: of focus, motion, zoom, and a rough pane of glass."""

from __future__ import annotations

import math

import numpy as np

from harness.inputs.corruptions.draws import Draws, Floats
from harness.inputs.corruptions.fields import coordinates, line, sampled, side_of, weighted
from harness.inputs.corruptions.kinds import Kind
from harness.inputs.corruptions.strengths import STRENGTHS

DIRECTIONS = tuple((down, 4) for down in range(-4, 4)) + tuple((4, right) for right in range(-3, 5))
"""Of motion, as whole steps down and right; their lengths are the square roots that IEEE 754 fixes."""


def _defocus(images: Floats, draws: Draws, strength: float) -> Floats:
    radius = strength * side_of(images)
    reach = math.ceil(radius + 0.5)
    disc = {}
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            weight = min(1.0, radius + 0.5 - math.sqrt(down * down + right * right))
            if weight > 0:
                disc[down, right] = weight
    return weighted(images, disc)


def _motion(images: Floats, draws: Draws, strength: float) -> Floats:
    turned = (draws.uniform(1)[:, 0] * np.float32(len(DIRECTIONS))).astype(np.int64)
    found = np.empty_like(images)
    for which in sorted(set(turned.tolist())):
        down, right = DIRECTIONS[which]
        length = math.sqrt(down * down + right * right)
        rows = turned == which
        found[rows] = weighted(images[rows], line(down / length, right / length, strength * side_of(images)))
    return found


def _zoom(images: Floats, draws: Draws, strength: float) -> Floats:
    high, wide = images.shape[2:]
    down, right = coordinates(high, wide)
    middle = np.float32((high - 1) / 2), np.float32((wide - 1) / 2)
    steps = min(32, max(2, math.ceil(strength * side_of(images) / 2)))
    total = images.copy()
    for step in range(1, steps + 1):
        shrunk = np.float32(1 / (1 + strength * step / steps))
        total += sampled(images, middle[0] + (down - middle[0]) * shrunk, middle[1] + (right - middle[1]) * shrunk)
    return total / np.float32(steps + 1)


def _glass(images: Floats, draws: Draws, strength: float) -> Floats:
    high, wide = images.shape[2:]
    reach = np.float32(2 * strength * side_of(images))
    down, right = coordinates(high, wide)
    off = (draws.uniform(2, high, wide) - np.float32(0.5)) * reach
    return sampled(images, down + off[:, 0], right + off[:, 1])


DEFOCUS = Kind(
    family="blur", corrupt=_defocus, strengths=STRENGTHS["defocus-blur"],
    words="Out of focus; the strength is the radius of the disc that a point becomes, as a share of the shorter side.",
)  # fmt: skip
MOTION = Kind(
    family="blur", corrupt=_motion, strengths=STRENGTHS["motion-blur"],
    words="Motion along one of 16 directions; the strength is its length, as a share of the shorter side.",
)  # fmt: skip
ZOOM = Kind(
    family="blur", corrupt=_zoom, strengths=STRENGTHS["zoom-blur"],
    words="Motion towards the middle; the strength is by how much the image grows meanwhile.",
)  # fmt: skip
GLASS = Kind(
    family="blur", corrupt=_glass, strengths=STRENGTHS["glass-blur"],
    words="Every pixel from a place beside it; the strength is how far at most, as a share of the shorter side.",
)  # fmt: skip
