"""A result as a notebook shows it: table, curve and notes, as HTML and inline SVG without any script or library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from harness.base.text import percent

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Told apart by the color-blind, on light and dark grounds: Okabe and Ito, "Color Universal Design" (2008)."""
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 360, 180, 38, 18, 10, 24
"""Of the picture and its margins, in pixels."""
ROOM = 36
"""Pixels from one label of the epsilon axis to the next; one that comes closer is left out."""

Curves = Mapping[str, Sequence[Mapping[str, Any]]]
"""Points ``epsilon``, ``epsilon_label``, ``accuracy``, ``low`` and ``high`` (shares) of each line, by its name."""


def as_html(title: str, rows: Sequence[Sequence[str]], curves: Curves, notes: Sequence[str]) -> str:
    """A result as an HTML fragment.

    Args:
        title: Above the table.
        rows: The header and one row an attack; its name comes first, and is marked with its line's color.
        curves: What to draw; without a point at an epsilon there is no picture.
        notes: Below.
    """
    colors = {name: COLORS[place % len(COLORS)] for place, name in enumerate(curves)}
    head, *body = rows
    lines = ["".join(f"<th>{escape(word)}</th>" for word in head)]
    for name, *words in body:
        mark = f'<span style="color:{colors[name]}">●</span> ' if name in colors else ""
        lines.append(f"<th>{mark}{escape(name)}</th>" + "".join(f"<td>{escape(word)}</td>" for word in words))
    table = "".join(f"<tr>{line}</tr>" for line in lines)
    drawn = picture(curves, colors) if any(len(points) > 1 for points in curves.values()) else ""
    below = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return f"<div><p><b>{escape(title)}</b></p><table>{table}</table>{drawn}{below}</div>"


def picture(curves: Curves, colors: Mapping[str, str]) -> str:
    """Robust accuracy over epsilon as SVG, one line a curve with its 95 % interval; tooltips have a point's numbers."""
    points = [point for line in curves.values() for point in line]
    end = max(point["epsilon"] for point in points)

    def at(epsilon: float, share: float) -> tuple[float, float]:
        across = LEFT + (WIDTH - LEFT - RIGHT) * epsilon / end
        return round(across, 1), round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - share), 1)

    parts = []
    for share in (0, 0.5, 1):
        (x, y), (right, _) = at(0, share), at(end, share)
        parts.append(f'<line x1="{x}" y1="{y}" x2="{right}" y2="{y}" stroke="currentColor" stroke-opacity="0.2"/>')
        parts.append(f'<text x="{x - 6}" y="{y}" dy="4" text-anchor="end">{100 * share:.0f}</text>')
    taken = -float(ROOM)
    for epsilon, label in sorted({point["epsilon"]: point["epsilon_label"] for point in points}.items()):
        x, _ = at(epsilon, 0)
        if x - taken >= ROOM:
            parts.append(f'<text x="{x}" y="{HEIGHT - 6}" text-anchor="middle">{escape(label)}</text>')
            taken = x
    for name, line in curves.items():
        color = colors[name]
        low = [at(point["epsilon"], point["low"]) for point in line]
        high = [at(point["epsilon"], point["high"]) for point in line]
        parts.append(f'<polygon points="{_path(low + high[::-1])}" fill="{color}" fill-opacity="0.15"/>')
        middle = [at(point["epsilon"], point["accuracy"]) for point in line]
        parts.append(f'<polyline points="{_path(middle)}" fill="none" stroke="{color}" stroke-width="1.5"/>')
        for (x, y), point in zip(middle, line, strict=True):
            shown = percent(point["accuracy"], (point["low"], point["high"]))
            told = escape(f"{name} at {point['epsilon_label']}: {shown} %")
            parts.append(f'<circle cx="{x}" cy="{y}" r="3" fill="{color}"><title>{told}</title></circle>')
    about = escape(f"robust accuracy in percent over epsilon: {', '.join(curves)}")
    return (
        f'<svg role="img" aria-label="{about}" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
        f' font-size="11" fill="currentColor">{"".join(parts)}</svg>'
    )


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)
