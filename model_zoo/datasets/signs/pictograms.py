"""Vehicles, people, animals and things: what stands inside red rings and red triangles."""

from collections.abc import Sequence

from model_zoo.datasets.signs.canvas import Canvas, Material, Point, arc, moved

_BLACK = Material.BLACK


def car(canvas: Canvas, x: float, y: float, scale: float, material: Material, turn: float = 0.0) -> None:
    """A car from behind, about 0.5 wide at scale 1, its middle at (x, y)."""

    def at(points: Sequence[Point]) -> list[Point]:
        return moved(points, x, y, scale, turn)

    canvas.polygon(at([(-0.25, -0.02), (0.25, -0.02), (0.25, 0.13), (-0.25, 0.13)]), material)
    canvas.polygon(at([(-0.18, -0.15), (0.18, -0.15), (0.24, 0.0), (-0.24, 0.0)]), material)
    canvas.polygon(at([(-0.13, -0.11), (0.13, -0.11), (0.17, -0.03), (-0.17, -0.03)]), Material.WHITE)
    for side in (-1, 1):
        wheel = [(side * 0.24, 0.1), (side * 0.24, 0.18), (side * 0.14, 0.18), (side * 0.14, 0.1)]
        canvas.polygon(at(wheel), material)


def truck_behind(canvas: Canvas, x: float, y: float, material: Material) -> None:
    """A truck from behind: a tall box on two wheels."""
    canvas.box(x - 0.23, y - 0.38, x + 0.23, y + 0.14, material)
    canvas.box(x - 0.18, y + 0.10, x - 0.07, y + 0.22, material)
    canvas.box(x + 0.07, y + 0.10, x + 0.18, y + 0.22, material)


def truck_beside(canvas: Canvas) -> None:
    """A truck from the side, driving to the left."""
    canvas.box(-0.14, -0.28, 0.56, 0.16, _BLACK)
    canvas.polygon([(-0.52, 0.18), (-0.52, 0.02), (-0.38, -0.18), (-0.18, -0.18), (-0.18, 0.18)], _BLACK)
    canvas.polygon([(-0.44, 0.0), (-0.36, -0.11), (-0.25, -0.11), (-0.25, 0.0)], Material.WHITE)
    canvas.box(-0.2, 0.1, 0.56, 0.18, _BLACK)
    for x in (-0.36, 0.34):
        canvas.disc((x, 0.2), 0.13, Material.WHITE)
        canvas.disc((x, 0.2), 0.10, _BLACK)


def exclamation(canvas: Canvas) -> None:
    """A wedge over a dot."""
    canvas.polygon([(-0.085, -0.32), (0.085, -0.32), (0.045, 0.26), (-0.045, 0.26)], _BLACK, grow=0.01)
    canvas.disc((0, 0.42), 0.085, _BLACK)


def bumps(canvas: Canvas) -> None:
    """Two bumps on a road."""
    canvas.box(-0.46, 0.46, 0.46, 0.53, _BLACK)
    for x in (-0.21, 0.21):
        canvas.polygon(arc((x, 0.49), 0.20, 0.19, 0, 180), _BLACK)


def skid(canvas: Canvas) -> None:
    """A tilted car and the two marks that its tires leave."""
    car(canvas, 0.0, 0.10, 1.2, _BLACK, turn=-16)
    for x in (-0.16, 0.14):
        mark = [(0.0, 0.36), (-0.08, 0.37), (0.02, 0.40), (0.13, 0.43), (0.02, 0.50), (-0.14, 0.52)]
        canvas.stroke(moved(mark, x), 0.05, _BLACK)


def narrowing(canvas: Canvas) -> None:
    """The right edge of the road steps in."""
    canvas.bar((-0.11, 0.52), (-0.11, -0.28), 0.095, _BLACK)
    canvas.bar((0.24, 0.52), (0.24, 0.26), 0.095, _BLACK)
    canvas.stroke([(0.24, 0.28), (0.09, 0.08)], 0.095, _BLACK)
    canvas.bar((0.09, 0.10), (0.09, -0.28), 0.095, _BLACK)


def worker(canvas: Canvas) -> None:
    """A man with a shovel, and a heap."""
    canvas.disc((-0.06, -0.22), 0.08, _BLACK)
    canvas.stroke([(-0.12, -0.08), (-0.20, 0.18)], 0.16, _BLACK)
    canvas.stroke([(-0.22, 0.18), (-0.29, 0.34), (-0.38, 0.53)], 0.10, _BLACK)
    canvas.stroke([(-0.17, 0.18), (-0.05, 0.32), (-0.07, 0.53)], 0.10, _BLACK)
    canvas.stroke([(-0.09, -0.03), (0.04, 0.10), (-0.10, 0.14)], 0.07, _BLACK)
    canvas.stroke([(-0.26, 0.02), (0.24, 0.36)], 0.045, _BLACK)
    canvas.polygon([(0.06, 0.54), (0.20, 0.36), (0.32, 0.27), (0.42, 0.36), (0.56, 0.54)], _BLACK)


def lamps(canvas: Canvas) -> None:
    """Red over amber over green."""
    for y, lamp in ((-0.17, Material.LAMP_RED), (0.12, Material.LAMP_AMBER), (0.41, Material.LAMP_GREEN)):
        canvas.disc((0, y), 0.125, lamp)


def person(canvas: Canvas, x: float, y: float, scale: float, stride: float, swing: float) -> None:
    """Somebody walking to the left, with longer strides and a wider swing of the arms towards 1."""

    def line(points: Sequence[Point], width: float) -> None:
        canvas.stroke(moved(points, x, y, scale), width * scale, _BLACK)

    canvas.disc(moved([(-0.06 * swing, -0.42)], x, y, scale)[0], 0.085 * scale, _BLACK)
    line([(-0.02 - 0.03 * swing, -0.24), (0.02, 0.06)], 0.17)
    line([(-0.02, 0.08), (-0.10 - 0.08 * stride, 0.24), (-0.19 - 0.14 * stride, 0.46 - 0.08 * stride)], 0.095)
    line([(0.05, 0.08), (0.12 + 0.06 * stride, 0.26), (0.20 + 0.14 * stride, 0.46 - 0.04 * stride)], 0.095)
    line([(-0.08, -0.26), (-0.17 - 0.06 * swing, -0.12), (-0.22 - 0.16 * swing, -0.16 * swing)], 0.07)
    line([(0.04, -0.26), (0.14 + 0.06 * swing, -0.12), (0.19 + 0.14 * swing, -0.04 * swing)], 0.07)


def children(canvas: Canvas) -> None:
    """Two children running, the smaller one ahead."""
    person(canvas, 0.13, 0.10, 0.84, stride=0.6, swing=0.7)
    person(canvas, -0.26, 0.24, 0.60, stride=0.6, swing=0.7)


def bicycle(canvas: Canvas) -> None:
    """A bicycle from the side."""
    for x in (-0.32, 0.32):
        canvas.ring((x, 0.42), 0.19, 0.038, _BLACK)
    frame: list[Point] = [(0.32, 0.42), (0.12, 0.13), (-0.21, 0.13), (0.0, 0.42), (0.32, 0.42)]
    canvas.stroke(frame, 0.038, _BLACK)
    canvas.stroke([(0.0, 0.42), (0.15, 0.04)], 0.038, _BLACK)
    canvas.stroke([(-0.32, 0.42), (-0.18, 0.02), (-0.28, -0.03)], 0.045, _BLACK)
    canvas.stroke([(0.07, 0.03), (0.22, 0.03)], 0.06, _BLACK)


def snowflake(canvas: Canvas) -> None:
    """Six arms, each with two twigs."""
    for k in range(6):
        turn = 60.0 * k + 30
        canvas.stroke(moved([(0, 0), (0.32, 0)], 0, 0.18, turn=turn), 0.055, _BLACK)
        for side in (-1, 1):
            canvas.stroke(moved([(0.17, 0), (0.27, side * 0.10)], 0, 0.18, turn=turn), 0.042, _BLACK)


def deer(canvas: Canvas, x: float, y: float, scale: float) -> None:
    """A stag leaping to the left."""

    def part(points: Sequence[Point], grow: float) -> None:
        canvas.polygon(moved(points, x, y, scale), _BLACK, grow)

    def line(points: Sequence[Point], width: float) -> None:
        canvas.stroke(moved(points, x, y, scale), width, _BLACK)

    part([(-0.20, 0.10), (-0.10, 0.04), (0.20, 0.22), (0.23, 0.31), (0.12, 0.30), (-0.14, 0.21)], 0.015)
    part([(-0.20, 0.12), (-0.17, -0.08), (-0.10, -0.06), (-0.05, 0.08)], 0.01)
    part([(-0.29, -0.04), (-0.17, -0.13), (-0.10, -0.07), (-0.15, 0.0)], 0.01)
    line([(-0.13, -0.11), (-0.06, -0.22), (0.0, -0.20)], 0.04)
    line([(-0.14, -0.11), (-0.14, -0.25)], 0.035)
    line([(-0.15, 0.17), (-0.32, 0.18), (-0.36, 0.28)], 0.05)
    line([(-0.10, 0.20), (-0.24, 0.30), (-0.24, 0.38)], 0.05)
    line([(0.19, 0.28), (0.28, 0.36), (0.40, 0.47)], 0.06)
    line([(0.13, 0.29), (0.19, 0.39), (0.30, 0.48)], 0.055)
