"""Weather and light: fog, rain, snow, frost, too much light and too little."""

from __future__ import annotations

import math

import numpy as np

from harness.inputs.corruptions.draws import Draws, Floats
from harness.inputs.corruptions.fields import blend, cloud, coordinates, grain_of, line, stretched, weighted
from harness.inputs.corruptions.kinds import Kind
from harness.inputs.corruptions.strengths import STRENGTHS

FOG, RAIN_GRAY, SNOW_GRAY, ICE = 225.0, 205.0, 250.0, 220.0
"""Gray values of what hides the scene."""


def _fog(images: Floats, draws: Draws, strength: float) -> Floats:
    thick = np.float32(0.4) + np.float32(0.6) * cloud(draws, images.shape[2], images.shape[3], cells=2, octaves=4)
    return blend(images, FOG, thick * np.float32(strength))


def _rain(images: Floats, draws: Draws, strength: float) -> Floats:
    rows, columns = grain_of(*images.shape[2:])
    slant = 4
    length = math.sqrt(64 + slant * slant)
    drops = (draws.uniform(1, rows, columns) < np.float32(0.12 * strength)).astype(np.float32)
    streaks = weighted(drops, line(8 / length, slant / length, min(rows, columns) / 5))
    cover = np.minimum(streaks * np.float32(min(rows, columns) / 5), np.float32(1)) * np.float32(0.3 + 0.5 * strength)
    hazy = blend(images, RAIN_GRAY * 0.7, np.full((1, 1, 1, 1), 0.4 * strength, np.float32))
    return blend(hazy, RAIN_GRAY, stretched(cover, *images.shape[2:]))


def _snow(images: Floats, draws: Draws, strength: float) -> Floats:
    rows, columns = grain_of(*images.shape[2:])
    small = (draws.uniform(1, rows, columns) < np.float32(0.16 * strength)).astype(np.float32)
    large = (draws.uniform(1, rows, columns) < np.float32(0.03 * strength)).astype(np.float32)
    round_ = {(down, right): 1.0 for down in (-1, 0, 1) for right in (-1, 0, 1) if abs(down) + abs(right) < 2}
    flakes = weighted(large, round_) * np.float32(5) + weighted(small, line(0.8, 0.6, 1.5)) * np.float32(2)
    cover = np.minimum(flakes, np.float32(1)) * np.float32(0.4 + 0.6 * strength)
    bright = blend(images, SNOW_GRAY, np.full((1, 1, 1, 1), 0.35 * strength, np.float32))
    return blend(bright, SNOW_GRAY, stretched(cover, *images.shape[2:]))


def _frost(images: Floats, draws: Draws, strength: float) -> Floats:
    high, wide = images.shape[2:]
    veins = np.float32(1) - np.abs(cloud(draws, high, wide, cells=4, octaves=3) * np.float32(4) - np.float32(2))
    down, right = coordinates(high, wide)
    off = [np.abs(place * np.float32(2 / (size - 1)) - np.float32(1)) for place, size in ((down, high), (right, wide))]
    border = np.maximum(*np.broadcast_arrays(*off))[:, None]
    ice = np.clip(np.maximum(veins, 0) + border * np.float32(0.6) - np.float32(1.6 * (1 - strength)), 0, 1)
    grain = np.float32(0.85) + np.float32(0.15) * draws.uniform(1, high, wide)
    return blend(images, ICE, ice * grain * np.float32(0.9))


def _brightness(images: Floats, draws: Draws, strength: float) -> Floats:
    return images + np.float32(255 * strength)


def _darkness(images: Floats, draws: Draws, strength: float) -> Floats:
    return images * np.float32(1 - strength)


MIST = Kind(
    family="weather", corrupt=_fog, strengths=STRENGTHS["fog"],
    words="Light gray fog in clouds; the strength is how much of the scene it hides where it is thickest.",
)  # fmt: skip
RAIN = Kind(
    family="weather", corrupt=_rain, strengths=STRENGTHS["rain"],
    words="Slanting streaks and haze; the strength is their number and density.",
)  # fmt: skip
SNOW = Kind(
    family="weather", corrupt=_snow, strengths=STRENGTHS["snow"],
    words="Flakes of two sizes in a bright air; the strength is their number and density.",
)  # fmt: skip
FROST = Kind(
    family="weather", corrupt=_frost, strengths=STRENGTHS["frost"],
    words="Veins of ice that grow from the border; the strength is how far they have grown.",
)  # fmt: skip
BRIGHTNESS = Kind(
    family="weather", corrupt=_brightness, strengths=STRENGTHS["brightness"],
    words="Too much light; the strength is what is added to every value, as a share of the range.",
)  # fmt: skip
DARKNESS = Kind(
    family="weather", corrupt=_darkness, strengths=STRENGTHS["darkness"],
    words="Too little light; the strength is the share that is taken away.",
)  # fmt: skip
