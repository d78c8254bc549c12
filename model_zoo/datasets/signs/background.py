"""What lies behind a sign: sky, leaves, branches, walls, a board, a pole, parts of other signs.

Every function returns float32 [FRAME, FRAME, 3]; 1 is about as bright as white paper in the light of that
place.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float32]
FRAME = 64
"""Side of the scene in pixels, before the camera samples it."""


def enlarge(small: Floats, smooth: bool = True) -> Floats:
    """Stretch a small array [h, w, channels] of values in 0..1 over the frame."""
    how = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    bytes_ = (small.clip(0, 1) * 255).astype(np.uint8)
    image = Image.fromarray(bytes_[..., 0] if bytes_.shape[-1] == 1 else bytes_)
    out = np.asarray(image.resize((FRAME, FRAME), how), dtype=np.float32) / np.float32(255)
    return out[..., None] if out.ndim == 2 else out


def noise(rng: np.random.Generator, cells: int, channels: int = 1, aspect: float = 1.0) -> Floats:
    """Smooth noise in 0..1 with about `cells` bumps across; `aspect` > 1 stretches them upright."""
    shape = (max(2, round(cells / aspect)), cells, channels)
    return enlarge(rng.random(shape, dtype=np.float32))


def _color(rng: np.random.Generator, red: float, green: float, blue: float, spread: float = 0.07) -> Floats:
    return (np.array([red, green, blue]) * np.exp(rng.normal(0, spread, 3))).astype(np.float32)


_BROWN, _GREEN, _GOLD = (0.30, 0.27, 0.24), (0.28, 0.32, 0.14), (0.50, 0.36, 0.14)
_TONES = (_BROWN, _BROWN, _GREEN, _GREEN, _GOLD)


def leaves(rng: np.random.Generator) -> Floats:
    """Foliage in green or autumn colors, often dark, with bright holes of sky."""
    color = _color(rng, *_TONES[rng.integers(len(_TONES))])
    fine, coarse = noise(rng, int(rng.integers(14, 32))), noise(rng, int(rng.integers(3, 8)))
    field = color * (0.1 + 2.6 * fine**2 * coarse)
    if rng.random() < 0.55:
        holes = (noise(rng, int(rng.integers(8, 26))) * coarse > rng.uniform(0.35, 0.6)).astype(np.float32)
        field = field * (1 - holes) + holes * rng.uniform(0.8, 2.5)
    return field


def sky(rng: np.random.Generator) -> Floats:
    """A plain gradient: overcast, blue, or dusk."""
    top, bottom = (_color(rng, 0.9, 0.94, 1.02, 0.05) * rng.uniform(0.5, 1.6) for _ in range(2))
    ramp = np.linspace(0, 1, FRAME, dtype=np.float32)[:, None, None]
    return np.broadcast_to(top * (1 - ramp) + bottom * ramp, (FRAME, FRAME, 3)).astype(np.float32)


def branches(rng: np.random.Generator) -> Floats:
    """Dark twigs before a bright sky."""
    field, lines = sky(rng), np.ones((FRAME, FRAME, 1), dtype=np.float32)
    for _ in range(rng.integers(1, 4)):
        wave = noise(rng, int(rng.integers(5, 16)), aspect=float(rng.choice([0.5, 1.0, 2.5])))
        lines = np.minimum(lines, (np.abs(wave - 0.5) * rng.uniform(8, 20)).clip(0, 1))
    return field * (0.12 + 0.88 * lines)


def wall(rng: np.random.Generator) -> Floats:
    """Fronts of houses, windows, vans: upright blocks, some with stripes."""
    cells = rng.random((int(rng.integers(1, 6)), int(rng.integers(2, 7)), 1), dtype=np.float32) ** 2
    field = enlarge(cells, smooth=False) * _color(rng, 1.08, 1.0, 0.93, 0.08)
    if rng.random() < 0.35:
        phase, period = rng.uniform(0, 6.3), rng.uniform(3, 9)
        stripes = 0.75 + 0.25 * np.sign(np.sin(np.arange(FRAME) * 6.28 / period + phase))
        field = field * (stripes[:, None, None] if rng.random() < 0.6 else stripes[None, :, None])
    return (field * 1.6).astype(np.float32)


def plain(rng: np.random.Generator) -> Floats:
    """A blurred distance in one color, light or dark."""
    color = _color(rng, 0.5, 0.48, 0.46, 0.08) * np.float32(np.exp(rng.normal(-0.3, 0.7)))
    return (color * (0.8 + 0.4 * noise(rng, int(rng.integers(2, 5))))).astype(np.float32)


def speckle(rng: np.random.Generator) -> Floats:
    """Colored noise, as a demosaicing camera makes of fine twigs."""
    field = noise(rng, 40) * (0.85 + 0.3 * noise(rng, 32, 3)) * noise(rng, 5)
    return (field**1.5 * rng.uniform(1.5, 5.0)).astype(np.float32)


_KINDS = (*[leaves] * 7, *[sky] * 2, *[branches] * 3, *[wall] * 4, *[plain] * 2, *[speckle] * 2)
"""The kinds, each as often as it should come up."""


def draw_background(rng: np.random.Generator) -> Floats:
    """One background, sometimes two kinds with a horizon between them, and often a pole."""
    field = _KINDS[rng.integers(len(_KINDS))](rng)
    if rng.random() < 0.3:
        other = _KINDS[rng.integers(len(_KINDS))](rng)
        edge = (np.arange(FRAME) < rng.uniform(0.1, 0.9) * FRAME).astype(np.float32)
        edge = edge[:, None, None] if rng.random() < 0.5 else edge[None, :, None]
        field = field * edge + other * (1 - edge)
    if rng.random() < 0.5:
        middle, half = rng.normal(32, 2), rng.uniform(1.0, 4.5)
        pole = (np.abs(np.arange(FRAME) - middle) < half)[None, :, None].astype(np.float32)
        if rng.random() < 0.6:
            pole = pole * (np.arange(FRAME) > 32)[:, None, None]
        field = field * (1 - pole) + pole * np.float32(rng.uniform(0.05, 0.7))
    return field.astype(np.float32)
