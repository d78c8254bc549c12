"""A small drawing board that paints *materials* (white sheet, red sheet, ...) instead of colors.

Drawing materials keeps the color of a sign open until it is rendered: each image picks its own faded red or
dirty white. Coordinates are those of the sign: x to the right, y down, the rim at distance 1 from the center.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from itertools import pairwise
from math import cos, hypot, radians, sin

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Point = tuple[float, float]
FACE = 80
"""Side of a finished face in pixels."""
REACH = 1.06
"""Half the side of the board in sign coordinates."""
_SUPER = 8


class Material(IntEnum):
    """What a spot of the sign is made of; `NOTHING` is outside the sign."""

    NOTHING = 0
    WHITE = 1
    RED = 2
    BLACK = 3
    BLUE = 4
    YELLOW = 5
    GRAY = 6
    LAMP_RED = 7
    LAMP_AMBER = 8
    LAMP_GREEN = 9


class Canvas:
    """A board of `FACE` x `FACE` pixels, painted eight times finer and averaged down."""

    def __init__(self) -> None:
        """Start with an empty board."""
        self._image = Image.new("L", (FACE * _SUPER, FACE * _SUPER), int(Material.NOTHING))
        self._draw = ImageDraw.Draw(self._image)
        self._unit = FACE * _SUPER / (2 * REACH)
        self._scale, self._down = 1.0, 0.0

    @contextmanager
    def placed(self, scale: float, down: float = 0.0) -> Iterator[None]:
        """Inside the block, whatever is drawn is scaled about the center and then moved down."""
        before = self._scale, self._down
        self._scale, self._down = scale, down
        try:
            yield
        finally:
            self._scale, self._down = before

    def polygon(self, points: Sequence[Point], material: Material, grow: float = 0.0) -> None:
        """Fill a polygon; `grow` widens it by that much all round, with round corners."""
        if grow > 0:
            self.stroke([*points, points[0]], 2 * grow, material)
        self._draw.polygon([self._pixel(p) for p in points], fill=int(material))

    def box(self, left: float, top: float, right: float, bottom: float, material: Material) -> None:
        """Fill an upright rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], material)

    def disc(self, center: Point, radius: float, material: Material) -> None:
        """Fill a circle."""
        x, y = self._pixel(center)
        r = radius * self._unit * self._scale
        self._draw.ellipse((x - r, y - r, x + r, y + r), fill=int(material))

    def ring(self, center: Point, radius: float, width: float, material: Material) -> None:
        """Draw a circle's line of the given width, `radius` being that of the line's middle."""
        self.stroke(arc(center, radius, radius, 0, 360), width, material)

    def stroke(self, points: Sequence[Point], width: float, material: Material) -> None:
        """Draw a line through the points, with round joints and ends."""
        for start, end in pairwise(points):
            self.bar(start, end, width, material)
        for point in points:
            self.disc(point, width / 2, material)

    def bar(self, start: Point, end: Point, width: float, material: Material) -> None:
        """Draw one straight line with square ends."""
        (x0, y0), (x1, y1) = start, end
        length = hypot(x1 - x0, y1 - y0)
        if length == 0:
            return
        dx, dy = (y1 - y0) / length * width / 2, (x0 - x1) / length * width / 2
        corners = [(x0 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1 - dx, y1 - dy), (x0 - dx, y0 - dy)]
        self.polygon(corners, material)

    def masks(self) -> npt.NDArray[np.float32]:
        """Share of each material in each pixel: float32 [FACE, FACE, len(Material)], summing to 1."""
        fine = np.asarray(self._image).reshape(FACE, _SUPER, FACE, _SUPER)
        return np.stack([(fine == m).mean(axis=(1, 3)) for m in Material], axis=-1).astype(np.float32)

    def _pixel(self, point: Point) -> Point:
        x, y = point[0] * self._scale, point[1] * self._scale + self._down
        return ((x + REACH) * self._unit - 0.5, (y + REACH) * self._unit - 0.5)


def arc(center: Point, rx: float, ry: float, start: float, end: float) -> list[Point]:
    """Points on an ellipse from angle `start` to `end` in degrees; 0 is right, 90 is up."""
    count = max(3, int(abs(end - start) / 9) + 1)
    angles = np.linspace(start, end, count)
    return [(center[0] + rx * cos(radians(a)), center[1] - ry * sin(radians(a))) for a in angles]


def moved(
    points: Sequence[Point], dx: float = 0.0, dy: float = 0.0, scale: float = 1.0, turn: float = 0.0
) -> list[Point]:
    """The points turned (degrees, counter-clockwise), then scaled, then shifted."""
    c, s = cos(radians(turn)) * scale, sin(radians(turn)) * scale
    return [(dx + c * x + s * y, dy - s * x + c * y) for x, y in points]


def mirrored(points: Sequence[Point]) -> list[Point]:
    """The points with left and right exchanged."""
    return [(-x, y) for x, y in points]
