"""Rendered traffic signs: one image, or a whole split."""

import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from model_zoo.datasets.signs.camera import SIDE, draw_size, take_picture
from model_zoo.datasets.signs.scene import draw_scene

Images = npt.NDArray[np.uint8]


def render(label: int, rng: np.random.Generator) -> Images:
    """Draw one sign: uint8 [32, 32, 3], RGB.

    Args:
        label: Class 0 to 42, in GTSRB's order (`model_zoo.datasets.classes.TRAFFIC_SIGNS`).
        rng: Source of everything that is random; it alone decides the image.
    """
    fraction, side = draw_size(rng)
    return take_picture(draw_scene(label, fraction, rng), side, rng)


def image_rng(seed: int, split: str, index: int) -> np.random.Generator:
    """The generator of one image; splits and indices never share one."""
    return np.random.default_rng([seed, zlib.crc32(split.encode()), index])


def render_set(labels: Sequence[int] | npt.NDArray[np.integer], seed: int, split: str) -> Images:
    """Draw one image per label: uint8 [N, 32, 32, 3], RGB.

    An image depends on its label, the seed, the split's name and its place in `labels`, on nothing else: a longer
    list begins with the same images.

    Args:
        labels: Classes 0 to 42.
        seed: Not negative.
        split: Name of the split, such as `train`, `val` or `test`.

    Raises:
        UsageError: A label is not one of the classes.
    """
    images = np.empty((len(labels), SIDE, SIDE, 3), dtype=np.uint8)
    for index, label in enumerate(labels):
        images[index] = render(int(label), image_rng(seed, split, index))
    return images
