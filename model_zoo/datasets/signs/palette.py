"""Colors of a sign's materials, new or faded by the sun."""

import numpy as np
import numpy.typing as npt

from model_zoo.datasets.signs.canvas import Material

Floats = npt.NDArray[np.float32]

_NEW: dict[Material, tuple[float, float, float]] = {
    Material.NOTHING: (0.0, 0.0, 0.0),
    Material.WHITE: (0.93, 0.93, 0.93),
    Material.RED: (0.70, 0.115, 0.085),
    Material.BLACK: (0.08, 0.08, 0.08),
    Material.BLUE: (0.05, 0.24, 0.62),
    Material.YELLOW: (0.94, 0.64, 0.13),
    Material.GRAY: (0.27, 0.27, 0.27),
    Material.LAMP_RED: (0.75, 0.13, 0.10),
    Material.LAMP_AMBER: (0.92, 0.62, 0.10),
    Material.LAMP_GREEN: (0.08, 0.45, 0.36),
}
_BLEACHED = {
    Material.RED: (0.85, 0.58, 0.40),
    Material.BLUE: (0.45, 0.58, 0.74),
    Material.YELLOW: (0.93, 0.80, 0.50),
}
"""What the sun turns a color into; red goes first, by way of orange."""


def draw_palette(rng: np.random.Generator) -> Floats:
    """Colors of one sign: float32 [len(Material), 3] in 0..1.

    Every color wanders a little; one sign in six is visibly bleached.
    """
    colors = np.array([_NEW[m] for m in Material])
    fade = rng.uniform(0.3, 1.0) if rng.random() < 0.15 else rng.uniform(0.0, 0.15)
    for material, bleached in _BLEACHED.items():
        colors[material] += fade * (np.array(bleached) - colors[material])
    count = len(colors) - 1
    colors[1:] *= np.exp(rng.normal(0.0, 0.07, (count, 1)) + rng.normal(0.0, 0.035, (count, 3)))
    colors[Material.BLUE] *= np.exp(rng.normal(0.0, 0.15) + rng.normal(0.0, 0.10, 3))
    colors[Material.RED, 1:] *= np.exp(rng.normal(0.0, 0.3))
    colors[Material.GRAY] *= np.exp(rng.normal(0.0, 0.25))
    dirt = rng.uniform(0.0, 0.15) ** 1.5
    return np.asarray((colors * (1 - dirt) + dirt * 0.4).clip(0, 1), dtype=np.float32)
