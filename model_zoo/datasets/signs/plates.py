"""The blank signs: disc, ring, triangle, diamond, octagon, and the stroke that ends a limit."""

from math import cos, pi, sin

from model_zoo.datasets.signs.canvas import Canvas, Material, Point

_TRIANGLE: list[Point] = [(0.0, -0.85), (0.90, 0.79), (-0.90, 0.79)]
_INCENTER_Y = 0.256
_INRADIUS = 0.534


def disc(canvas: Canvas, face: Material, rim: Material = Material.WHITE, border: float = 0.04) -> None:
    """A round sign of one material with a narrow rim."""
    canvas.disc((0, 0), 1.0, rim)
    canvas.disc((0, 0), 1.0 - border, face)


def ring(canvas: Canvas, inner: float = 0.73) -> None:
    """A white round sign in a red ring, the ring itself in a narrow white rim."""
    disc(canvas, Material.RED)
    canvas.disc((0, 0), inner, Material.WHITE)


def triangle(canvas: Canvas, band: float = 0.13, flip: bool = False) -> None:
    """A white triangle in a red band, standing on its base, or on its tip with `flip`."""

    def corners(inset: float) -> list[Point]:
        scale = 1 - inset / _INRADIUS
        points = [(x * scale, _INCENTER_Y + (y - _INCENTER_Y) * scale) for x, y in _TRIANGLE]
        return [(x, -y) for x, y in points] if flip else points

    canvas.polygon(corners(0.0), Material.WHITE, grow=0.10)
    canvas.polygon(corners(0.0), Material.RED, grow=0.06)
    canvas.polygon(corners(band), Material.WHITE, grow=0.02)


def diamond(canvas: Canvas, inner: float = 0.58) -> None:
    """The priority road sign: a yellow square on its corner, white around it, a thin dark edge."""
    for half, grow, material in (
        (0.92, 0.052, Material.BLACK),
        (0.90, 0.05, Material.WHITE),
        (inner + 0.03, 0.03, Material.BLACK),
        (inner, 0.03, Material.YELLOW),
    ):
        canvas.polygon([(0, -half), (half, 0), (0, half), (-half, 0)], material, grow=grow)


def octagon(canvas: Canvas) -> None:
    """The blank stop sign."""
    for reach, material in ((1.0, Material.WHITE), (0.92, Material.RED)):
        radius = reach / cos(pi / 8)
        corners = [(radius * cos(pi / 8 + k * pi / 4), radius * sin(pi / 8 + k * pi / 4)) for k in range(8)]
        canvas.polygon(corners, material)


def end_stroke(canvas: Canvas, lines: int = 5) -> None:
    """The bundle of dark lines from the lower left to the upper right that ends a limit."""
    step = 0.09
    reach = 0.66
    for k in range(lines):
        shift = (k - (lines - 1) / 2) * step
        dx, dy = shift * 0.71, shift * 0.71
        canvas.bar((-reach + dx, reach + dy), (reach + dx, -reach + dy), 0.052, Material.BLACK)
