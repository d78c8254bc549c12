"""One scene: a posed sign before a background, each in its own light, some with a shadow or a neighbor."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from model_zoo.datasets.signs.background import FRAME, draw_background, noise
from model_zoo.datasets.signs.canvas import FACE, REACH, Material
from model_zoo.datasets.signs.faces import face
from model_zoo.datasets.signs.palette import draw_palette

Floats = npt.NDArray[np.float32]
_CLASSES = 43
_VARIANTS = (0, 0, 1, 2)
"""Designs to draw from: the plain one as often as the two others together."""


@dataclass(frozen=True)
class Layer:
    """A warped sign: colors times coverage [FRAME, FRAME, 3], and coverage [FRAME, FRAME, 1]."""

    color: Floats
    cover: Floats


def draw_scene(label: int, fraction: float, rng: np.random.Generator) -> Floats:
    """The light that reaches the camera: float32 [FRAME, FRAME, 3], white paper in the sign's light being 1.

    Args:
        label: Class of the sign.
        fraction: Share of the frame's side that the sign fills.
        rng: Source of everything that is random.
    """
    behind = draw_background(rng)
    # Sign and surroundings stand in different light: shade before a bright sky, sun before a dark wood.
    behind = behind * np.float32(np.exp(rng.normal(-0.35, 0.9)))
    if rng.random() < 0.10:
        behind = _board(behind, rng)
    for _ in range(2):
        if rng.random() < 0.16:
            behind = _neighbor(behind, fraction, rng)
    sign = _posed(label, fraction, (0.0, 0.0), rng)
    lit = sign.color * _light(rng)
    return (behind * (1 - sign.cover) + lit).astype(np.float32)


def _posed(label: int, fraction: float, shift: tuple[float, float], rng: np.random.Generator) -> Layer:
    """Warp a face into the frame: small turns in space, a stretch, and a shift in frame shares."""
    masks = face(label, _VARIANTS[rng.integers(len(_VARIANTS))])
    cover = 1 - masks[..., Material.NOTHING : Material.NOTHING + 1]
    flat = np.empty((FACE, FACE, 4), dtype=np.uint8)
    colors = masks.reshape(-1, len(Material)) @ (255 * draw_palette(rng)) + np.float32(0.5)
    flat[..., :3] = colors.reshape(FACE, FACE, 3)
    flat[..., 3:] = 255 * cover + 0.5
    image = Image.fromarray(flat)
    view = _homography(fraction, shift, rng)
    warped = image.transform((FRAME, FRAME), Image.Transform.PERSPECTIVE, view, Image.Resampling.BILINEAR)
    out = np.asarray(warped, dtype=np.float32) / np.float32(255)
    return Layer(out[..., :3], out[..., 3:])


def _homography(
    fraction: float, shift: tuple[float, float], rng: np.random.Generator
) -> tuple[float, float, float, float, float, float, float, float]:
    """Pillow's eight numbers: from a frame pixel to the face's pixel it shows."""
    roll = np.radians(rng.normal(0, 3.5))
    # GTSRB's box around each sign is stretched to a square: a turned sign still fills the frame.
    stretch = np.exp(rng.normal(0, 0.035, 2))
    if rng.random() < 0.06:
        stretch[0] *= rng.uniform(0.65, 0.9)
    size = fraction * np.exp(rng.normal(0, 0.03)) * stretch
    shear = rng.normal(0, 0.045)
    turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    plane = np.diag(size) @ np.array([[1, 0], [shear, 1]]) @ turn * (FRAME / 2)
    tilt = rng.normal(0, 0.045, 2)
    center = FRAME * (0.5 + np.asarray(shift) + rng.normal(0, 0.012, 2))
    unit = FACE / (2 * REACH)
    to_pixel = np.array([[1 / unit, 0, -REACH], [0, 1 / unit, -REACH], [0, 0, 1]])
    forward = np.block([[plane, center[:, None]], [np.zeros((1, 2)), np.ones((1, 1))]])
    forward = forward @ np.array([[1, 0, 0], [0, 1, 0], [*tilt, 1]]) @ to_pixel
    back = np.linalg.inv(forward)
    back = back / back[2, 2]
    a, b, c, d, e, f, g, h = (float(v) for v in back.ravel()[:8])
    return a, b, c, d, e, f, g, h


def _light(rng: np.random.Generator) -> Floats:
    """Light on the sign: a slope, and now and then a cast shadow or dappled sun; about 1."""
    ramp = np.linspace(-1, 1, FRAME, dtype=np.float32)
    slope = rng.normal(0, 0.09, 2)
    light = 1 + slope[0] * ramp[:, None] + slope[1] * ramp[None, :]
    kind = rng.random()
    if kind < 0.08:
        angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(-0.6, 0.6)
        side = ramp[:, None] * np.sin(angle) + ramp[None, :] * np.cos(angle) - offset
        light = light * np.where(side > 0, rng.uniform(0.35, 0.8), 1.0)
    elif kind < 0.14:
        light = light * (0.45 + 0.8 * noise(rng, int(rng.integers(4, 12)))[..., 0])
    return np.asarray(np.clip(light, 0.1, None)[..., None], dtype=np.float32)


def _board(behind: Floats, rng: np.random.Generator) -> Floats:
    """A light board that carries the sign, wider than the frame or with its edge in view."""
    out = behind.copy()
    x, y = (int(v) for v in rng.integers(-10, 10, 2))
    out[max(y, 0) : FRAME + min(y, 0), max(x, 0) : FRAME + min(x, 0)] = rng.uniform(0.5, 0.95)
    return out


def _neighbor(behind: Floats, fraction: float, rng: np.random.Generator) -> Floats:
    """A second sign or a plate above or below, cut off by the frame."""
    down = fraction * rng.uniform(0.86, 1.08) * (1 if rng.random() < 0.65 else -1)
    if rng.random() < 0.5:
        other = _posed(int(rng.integers(_CLASSES)), fraction, (float(rng.normal(0, 0.02)), down), rng)
        return behind * (1 - other.cover) + other.color
    out = behind.copy()
    half, edge = fraction * rng.uniform(0.2, 0.55) * FRAME, round(FRAME * (0.5 + down * 0.56))
    rows = slice(edge, FRAME) if down > 0 else slice(0, max(edge, 0))
    out[rows, round(32 - half) : round(32 + half)] = rng.uniform(0.3, 0.95)
    return out
