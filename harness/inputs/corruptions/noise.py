"""Noise: of a sensor, of light, of transmission."""

from __future__ import annotations

import numpy as np

from harness.inputs.corruptions.draws import Draws, Floats
from harness.inputs.corruptions.kinds import Kind
from harness.inputs.corruptions.strengths import STRENGTHS


def _gaussian(images: Floats, draws: Draws, strength: float) -> Floats:
    noise: Floats = draws.normal(*images.shape[1:]) * np.float32(255 * strength)
    return images + noise


def _shot(images: Floats, draws: Draws, strength: float) -> Floats:
    noise: Floats = draws.normal(*images.shape[1:]) * np.sqrt(images * np.float32(255)) * np.float32(strength)
    return images + noise


def _impulse(images: Floats, draws: Draws, strength: float) -> Floats:
    place = draws.uniform(*images.shape[1:])
    extreme = np.where(place < np.float32(strength / 2), np.float32(0), np.float32(255))
    return np.where(place < np.float32(strength), extreme, images)


def _speckle(images: Floats, draws: Draws, strength: float) -> Floats:
    noise: Floats = images * draws.normal(*images.shape[1:]) * np.float32(strength)
    return images + noise


GAUSSIAN = Kind(
    family="noise", corrupt=_gaussian, strengths=STRENGTHS["gaussian-noise"],
    words="Normal noise; the strength is its standard deviation, as a share of the range.",
)  # fmt: skip
SHOT = Kind(
    family="noise", corrupt=_shot, strengths=STRENGTHS["shot-noise"],
    words="Noise of the light itself, the normal limit of Poisson counts; the strength is the deviation of white.",
)  # fmt: skip
IMPULSE = Kind(
    family="noise", corrupt=_impulse, strengths=STRENGTHS["impulse-noise"],
    words="Single values that become 0 or 255; the strength is the share of values.",
)  # fmt: skip
SPECKLE = Kind(
    family="noise", corrupt=_speckle, strengths=STRENGTHS["speckle-noise"],
    words="Noise in proportion to the value; the strength is the factor's standard deviation.",
)  # fmt: skip
