"""Arrows: the white ones of blue signs and the black ones of warning signs."""

from collections.abc import Sequence
from math import atan2, cos, degrees, radians, sin

from model_zoo.datasets.signs.canvas import Canvas, Material, Point, arc, mirrored, moved

_PEN = 0.19


def _arrow(canvas: Canvas, path: Sequence[Point], barb: float, pen: float = _PEN, spread: float = 42.0) -> None:
    """A white line along `path` that ends in two barbs swept back by `spread` degrees."""
    (x0, y0), (x1, y1) = path[-2], path[-1]
    heading = atan2(y1 - y0, x1 - x0)
    canvas.stroke(path[:-1], pen, Material.WHITE)
    canvas.bar(path[-2], path[-1], pen, Material.WHITE)
    canvas.bar(path[0], path[1], pen, Material.WHITE)
    for side in (-1, 1):
        angle = heading + radians(180 + side * spread)
        canvas.stroke([(x1, y1), (x1 + barb * cos(angle), y1 + barb * sin(angle))], pen * 0.9, Material.WHITE)


def ahead(canvas: Canvas) -> None:
    """Straight on."""
    _arrow(canvas, [(0, 0.62), (0, 0.0), (0, -0.58)], 0.44)


def turn(canvas: Canvas, right: bool) -> None:
    """Up, then round the corner."""
    path = [(-0.24, 0.62), (-0.24, 0.10), *arc((0.10, 0.10), 0.34, 0.36, 180, 90), (0.60, -0.26)]
    _arrow(canvas, path if right else mirrored(path), 0.44)


def ahead_or_turn(canvas: Canvas, right: bool) -> None:
    """Straight on with a branch to one side."""
    main: list[Point] = [(-0.17, 0.64), (-0.17, 0.0), (-0.17, -0.62)]
    branch = [(-0.17, 0.55), *arc((0.10, 0.42), 0.24, 0.28, 160, 90), (0.60, 0.14)]
    _arrow(canvas, main if right else mirrored(main), 0.38, 0.16)
    _arrow(canvas, branch if right else mirrored(branch), 0.38, 0.16)


def keep(canvas: Canvas, right: bool) -> None:
    """Pass on this side: an arrow slanting down."""
    path: list[Point] = [(-0.46, -0.48), (0.0, 0.0), (0.46, 0.46)]
    _arrow(canvas, path if right else mirrored(path), 0.56)


def roundabout(canvas: Canvas, turned: float) -> None:
    """Three arrows chasing each other counter-clockwise; `turned` degrees of the whole wheel."""
    for k in range(3):
        tip = 70 + 120 * k + turned
        path = arc((0, 0), 0.60, 0.60, tip - 78, tip - 8)
        tangent = radians(tip + 90 + 8)
        end = (path[-1][0] + 0.13 * cos(tangent), path[-1][1] - 0.13 * sin(tangent))
        _arrow(canvas, [*path, end], 0.29, 0.13, 48.0)


def _pointed(canvas: Canvas, path: Sequence[Point], pen: float, half: float, length: float) -> None:
    """A black line that ends in a filled arrow head."""
    canvas.stroke(path, pen, Material.BLACK)
    (x0, y0), (x1, y1) = path[-2], path[-1]
    heading = degrees(atan2(y0 - y1, x1 - x0))
    head: list[Point] = [(length, 0.0), (0.0, half), (0.0, -half)]
    canvas.polygon(moved(head, x1, y1, turn=heading), Material.BLACK)


def curve(canvas: Canvas, right: bool) -> None:
    """A bend ahead, in black."""
    path = [(0.17, 0.49), (0.17, 0.30), *arc((-0.02, 0.26), 0.19, 0.20, 0, 90), (-0.15, 0.06)]
    _pointed(canvas, mirrored(path) if right else path, 0.17, 0.15, 0.22)


def double_curve(canvas: Canvas) -> None:
    """Two bends, the first to the left, in black."""
    _pointed(canvas, [(0.14, 0.48), (0.14, 0.09), (-0.12, 0.22), (-0.12, -0.10)], 0.14, 0.14, 0.22)


def crossing(canvas: Canvas) -> None:
    """The broad road ahead, crossed by a narrow one, in black."""
    half = [(0.0, -0.36), (0.07, -0.14), (0.19, -0.02), (0.15, 0.12), (0.12, 0.50)]
    canvas.polygon([*half, *reversed(mirrored(half))], Material.BLACK)
    canvas.box(-0.31, 0.12, 0.31, 0.27, Material.BLACK)
