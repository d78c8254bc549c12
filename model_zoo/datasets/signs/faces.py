"""The 43 faces: which plate and which pictogram each class has."""

from collections.abc import Callable
from functools import cache, partial

import numpy as np
import numpy.typing as npt

from harness.errors import UsageError
from model_zoo.datasets.signs import arrows, pictograms, plates
from model_zoo.datasets.signs.canvas import Canvas, Material
from model_zoo.datasets.signs.glyphs import write

Painter = Callable[[Canvas], None]
VARIANTS = 3
"""How many designs a class has; they differ in small ways, such as the width of bands and the height of digits."""


def _limit(text: str, canvas: Canvas, variant: int) -> None:
    plates.ring(canvas, (0.74, 0.76, 0.71)[variant])
    height = (0.84, 0.88, 0.78)[variant]
    if len(text) == 2:
        width, gap, pen = (0.53, 0.54, 0.50)[variant], 0.075, (0.11, 0.10, 0.13)[variant]
    else:
        height, width, gap, pen = 0.95 * height, (0.345, 0.36, 0.34)[variant], 0.07, (0.085, 0.08, 0.092)[variant]
    write(canvas, text, height, width, gap, pen, Material.BLACK)


def _overtaking(trucks: bool, canvas: Canvas, variant: int) -> None:
    plates.ring(canvas, (0.73, 0.75, 0.71)[variant])
    _pair(canvas, trucks, Material.RED, Material.BLACK)


def _pair(canvas: Canvas, trucks: bool, left: Material, right: Material) -> None:
    if trucks:
        pictograms.truck_behind(canvas, -0.29, 0.03, left)
        pictograms.car(canvas, 0.29, 0.08, 1.08, right)
    else:
        pictograms.car(canvas, -0.34, 0.0, 1.14, left)
        pictograms.car(canvas, 0.34, 0.0, 1.14, right)


def _end(inside: Painter | None, canvas: Canvas, variant: int) -> None:
    plates.disc(canvas, Material.WHITE, Material.GRAY, (0.03, 0.045, 0.03)[variant])
    if inside is not None:
        inside(canvas)
    plates.end_stroke(canvas, lines=(5, 4, 5)[variant])


def _ringed(inside: Painter | None, canvas: Canvas, variant: int) -> None:
    plates.ring(canvas, (0.73, 0.76, 0.70)[variant])
    if inside is not None:
        inside(canvas)


def _warning(inside: Painter, canvas: Canvas, variant: int) -> None:
    plates.triangle(canvas, (0.13, 0.11, 0.15)[variant])
    with canvas.placed((1.0, 1.07, 0.94)[variant], (0.06, 0.05, 0.07)[variant]):
        inside(canvas)


def _order(inside: Painter, canvas: Canvas, variant: int) -> None:
    plates.disc(canvas, Material.BLUE, border=(0.045, 0.06, 0.035)[variant])
    inside(canvas)


def _roundabout(canvas: Canvas, variant: int) -> None:
    plates.disc(canvas, Material.BLUE)
    arrows.roundabout(canvas, (0.0, 12.0, 45.0)[variant])


def _yield(canvas: Canvas, variant: int) -> None:
    plates.triangle(canvas, (0.13, 0.15, 0.11)[variant], flip=True)


def _priority_road(canvas: Canvas, variant: int) -> None:
    plates.diamond(canvas, (0.58, 0.61, 0.54)[variant])


def _stop(canvas: Canvas, variant: int) -> None:
    plates.octagon(canvas)
    write(canvas, "STOP", (0.60, 0.66, 0.56)[variant], 0.34, 0.07, 0.105, Material.WHITE)


def _no_entry(canvas: Canvas, variant: int) -> None:
    plates.disc(canvas, Material.RED, border=(0.04, 0.05, 0.03)[variant])
    canvas.box(-0.72, -0.15, 0.72, 0.15, Material.WHITE)


def _deer(canvas: Canvas) -> None:
    pictograms.deer(canvas, 0.02, 0.02, 1.0)


def _struck_80(canvas: Canvas) -> None:
    write(canvas, "80", 0.90, 0.54, 0.10, 0.125, Material.GRAY)


def _person(canvas: Canvas) -> None:
    pictograms.person(canvas, 0.0, 0.09, 0.94, stride=0.6, swing=0.3)


_FACES: tuple[Callable[[Canvas, int], None], ...] = (
    *(partial(_limit, text) for text in ("20", "30", "50", "60", "70", "80")),
    partial(_end, _struck_80),
    *(partial(_limit, text) for text in ("100", "120")),
    partial(_overtaking, False),
    partial(_overtaking, True),
    partial(_warning, arrows.crossing),
    _priority_road,
    _yield,
    _stop,
    partial(_ringed, None),
    partial(_ringed, pictograms.truck_beside),
    _no_entry,
    partial(_warning, pictograms.exclamation),
    partial(_warning, partial(arrows.curve, right=False)),
    partial(_warning, partial(arrows.curve, right=True)),
    partial(_warning, arrows.double_curve),
    partial(_warning, pictograms.bumps),
    partial(_warning, pictograms.skid),
    partial(_warning, pictograms.narrowing),
    partial(_warning, pictograms.worker),
    partial(_warning, pictograms.lamps),
    partial(_warning, _person),
    partial(_warning, pictograms.children),
    partial(_warning, pictograms.bicycle),
    partial(_warning, pictograms.snowflake),
    partial(_warning, _deer),
    partial(_end, None),
    partial(_order, partial(arrows.turn, right=True)),
    partial(_order, partial(arrows.turn, right=False)),
    partial(_order, arrows.ahead),
    partial(_order, partial(arrows.ahead_or_turn, right=True)),
    partial(_order, partial(arrows.ahead_or_turn, right=False)),
    partial(_order, partial(arrows.keep, right=True)),
    partial(_order, partial(arrows.keep, right=False)),
    _roundabout,
    partial(_end, partial(_pair, trucks=False, left=Material.GRAY, right=Material.GRAY)),
    partial(_end, partial(_pair, trucks=True, left=Material.GRAY, right=Material.GRAY)),
)


@cache
def face(label: int, variant: int = 0) -> npt.NDArray[np.float32]:
    """Material shares of one class's face, drawn once: float32 [80, 80, materials], read-only.

    Args:
        label: Class 0 to 42.
        variant: Which of the `VARIANTS` designs.

    Raises:
        UsageError: No such class.
    """
    if not 0 <= label < len(_FACES):
        raise UsageError(f"no traffic sign has the label {label}; labels go from 0 to {len(_FACES) - 1}")
    canvas = Canvas()
    _FACES[label](canvas, variant)
    masks = canvas.masks()
    masks.flags.writeable = False
    return masks
