"""The camera: focus, motion, resolution, exposure, white balance, glare, noise, compression."""

import io
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from model_zoo.datasets.signs.background import FRAME

Floats = npt.NDArray[np.float32]
SIDE = 32
"""Side of a finished image in pixels."""


def draw_size(rng: np.random.Generator) -> tuple[float, int]:
    """How large the sign appears: the share of the frame's side that it fills, and that side in camera pixels.

    GTSRB cuts each sign out with a margin of a tenth, but of 5 pixels at least (Stallkamp et al., 2012), so
    small signs fill less of their frame.
    """
    sign = float(np.clip(np.exp(rng.normal(np.log(34), 0.5)), 15, 120))
    margin = max(5.0, sign / 10)
    side = sign + 2 * margin
    return sign / side, round(side)


def take_picture(scene: Floats, side: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """The image uint8 [32, 32, 3] that a camera with `side` x `side` pixels takes of a scene [FRAME, FRAME, 3]."""
    side = min(side, FRAME)
    pixel = FRAME / side
    seen = _moved(scene, pixel, rng) if rng.random() < 0.35 else scene
    blur = pixel * (rng.uniform(0.6, 1.3) if rng.random() < 0.10 else rng.uniform(0.15, 0.6))
    exposed = _expose(seen, rng)
    fringe = rng.normal(0, 0.22 * pixel, (2, 2))
    # Lenses bend red and blue a little otherwise than green: their pictures are shifted.
    down = np.stack([_sampling(side, blur, shift) for shift in (fringe[0, 0], 0.0, fringe[1, 0])])
    across = np.stack([_sampling(side, blur, shift) for shift in (fringe[0, 1], 0.0, fringe[1, 1])])
    raw = down @ np.ascontiguousarray(exposed.transpose(2, 0, 1)) @ across.transpose(0, 2, 1)
    grain = rng.standard_normal(raw.shape, dtype=np.float32)
    raw = raw + grain * np.sqrt(rng.uniform(0.2, 1.2) ** 2 + rng.uniform(0.0, 0.07) * raw.clip(0, 255))
    up = _stretch(side)
    image = (up @ raw.clip(0, 255) @ up.T).transpose(1, 2, 0)
    finished = np.ascontiguousarray(image.round().clip(0, 255).astype(np.uint8))
    return _compressed(finished, int(rng.integers(60, 96))) if rng.random() < 0.25 else finished


def _expose(scene: Floats, rng: np.random.Generator) -> Floats:
    """Light to pixel values, not yet cut off at 255: gain, white balance, glare and the black level."""
    gain = 255 * float(np.clip(np.exp(rng.normal(np.log(0.48), 0.85)), 0.08, 1.8))
    cold = rng.normal(0.05, 0.10)
    balance = np.exp(np.array([-cold / 2, rng.normal(0.0, 0.025), cold / 2 + rng.normal(0, 0.03)]))
    glare = abs(rng.normal(0, 0.06)) + (rng.uniform(0.1, 0.4) if rng.random() < 0.06 else 0.0)
    # Glare comes from a bright surround, for which the camera has closed already: none on a long exposure.
    veil = glare * max(min(gain, 400.0 - gain), 0.0) * np.exp(rng.normal(0, 0.04, 3))
    values = scene * (gain * balance) + veil + rng.uniform(5, 13)
    # Let the overshoot reach 1.2 times the range, so that the blur that follows spreads it.
    return np.asarray(np.minimum(values, 306.0), dtype=np.float32)


def _moved(scene: Floats, pixel: float, rng: np.random.Generator) -> Floats:
    """Smear along a line, mostly level, by up to three camera pixels."""
    length = rng.uniform(0.5, 2.6) * pixel
    angle = rng.normal(0, 0.5) + (np.pi / 2 if rng.random() < 0.3 else 0.0)
    steps = np.linspace(-length / 2, length / 2, 5)
    places = {(round(float(s * np.sin(angle))), round(float(s * np.cos(angle)))) for s in steps}
    padded = np.pad(scene, ((10, 10), (10, 10), (0, 0)), mode="edge")
    views = [padded[10 + y : 10 + y + FRAME, 10 + x : 10 + x + FRAME] for y, x in sorted(places)]
    return (sum(views[1:], start=views[0]) / np.float32(len(views))).astype(np.float32)


def _sampling(side: int, blur: float, shift: float) -> Floats:
    """Weights [side, FRAME] of a focus `blur` wide and box pixels, moved by `shift`, all in frame pixels."""
    return _weights(side, round(blur * 4), round(shift * 4))


@lru_cache(maxsize=4096)
def _weights(side: int, blur4: int, shift4: int) -> Floats:
    """`_sampling` for arguments in quarters of a frame pixel, so that they can be kept."""
    pixel = FRAME / side
    middle = (np.arange(side) + 0.5) * pixel + shift4 / 4
    distance = np.abs(np.arange(FRAME)[None, :] + 0.5 - middle[:, None])
    # A box one pixel wide convolved with the focus: close to one Gaussian of the summed variance.
    variance = (blur4 / 4) ** 2 + pixel**2 / 12
    weights = np.exp(-(distance**2) / (2 * variance))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


@cache
def _stretch(side: int) -> Floats:
    """Bilinear weights [SIDE, side], without antialiasing, as the copies of GTSRB at 32 x 32 are made."""
    place = ((np.arange(SIDE) + 0.5) * side / SIDE - 0.5).clip(0, side - 1)
    low = np.minimum(place.astype(int), side - 2)
    weights = np.zeros((SIDE, side), dtype=np.float32)
    weights[np.arange(SIDE), low] = 1 - (place - low)
    weights[np.arange(SIDE), low + 1] = place - low
    return weights


def _compressed(image: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.uint8]:
    """Through JPEG and back."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))
