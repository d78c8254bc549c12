"""Digits and letters of traffic signs as lines, after the upright German road lettering (DIN 1451)."""

from model_zoo.datasets.signs.canvas import Canvas, Material, Point, arc

# Each glyph is a list of lines in a box of width 1 and height 1, y down; the pen adds its own width.
_GLYPHS: dict[str, list[list[Point]]] = {
    "0": [[*arc((0.5, 0.3), 0.5, 0.3, 0, 180), *arc((0.5, 0.7), 0.5, 0.3, 180, 360), (1.0, 0.3)]],
    "1": [[(0.0, 0.24), (1.0, 0.0), (1.0, 1.0)]],
    "2": [[*arc((0.5, 0.27), 0.48, 0.27, 165, -35), (0.0, 1.0), (1.0, 1.0)]],
    "3": [[*arc((0.45, 0.25), 0.47, 0.25, 160, -80), *arc((0.45, 0.73), 0.52, 0.27, 80, -160)]],
    "5": [[(0.92, 0.0), (0.12, 0.0), (0.06, 0.47), *arc((0.47, 0.67), 0.5, 0.31, 130, -155)]],
    "6": [[(0.72, 0.0), *arc((0.5, 0.68), 0.5, 0.32, 150, 510)], [(0.72, 0.0), (0.04, 0.6)]],
    "7": [[(0.0, 0.0), (1.0, 0.0), (0.36, 1.0)]],
    "8": [[*arc((0.5, 0.24), 0.42, 0.24, 0, 360)], [*arc((0.5, 0.73), 0.5, 0.27, 0, 360)]],
    "S": [[*arc((0.5, 0.25), 0.46, 0.25, 25, 250), *arc((0.5, 0.75), 0.48, 0.25, 70, -155)]],
    "T": [[(0.0, 0.0), (1.0, 0.0)], [(0.5, 0.0), (0.5, 1.0)]],
    "P": [[(0.0, 1.0), (0.0, 0.0), (0.5, 0.0), *arc((0.55, 0.28), 0.42, 0.28, 90, -90), (0.0, 0.56)]],
}
_GLYPHS["O"] = _GLYPHS["0"]
_SHARES = {"1": 0.62, "2": 1.08}
"""Width of the glyphs that are narrower or wider than the others, as a share of theirs."""


def write(canvas: Canvas, text: str, height: float, width: float, gap: float, pen: float, material: Material) -> None:
    """Write `text` around the sign's center.

    Args:
        canvas: Where to write.
        text: Characters among 0 1 2 3 5 6 7 8 S T O P.
        height: Outer height of a character, in sign coordinates.
        width: Outer width of a character; a 1 is narrower, a 2 a little wider.
        gap: Space between two characters.
        pen: Width of the lines.
        material: What to write with.
    """
    widths = [width * _SHARES.get(character, 1.0) for character in text]
    left = -(sum(widths) + (len(text) - 1) * gap) / 2
    for character, own in zip(text, widths, strict=True):
        for line in _GLYPHS[character]:
            across, down = own - pen, height - pen
            canvas.stroke([(left + pen / 2 + u * across, (v - 0.5) * down) for u, v in line], pen, material)
        left += own + gap
