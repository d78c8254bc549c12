"""Curves in, picture out: figures for papers by matplotlib, as PNG, SVG or PDF.

`draw` knows nothing of runs, so that anything with points and intervals can be drawn; `leaderboard.figures.curves`
makes panels of a table. The same panels give the same bytes (no dates, fixed ids) with the same version of matplotlib.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.base.installing import check_installed
from harness.errors import FileError, UsageError
from leaderboard.text import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f", "#a6761d")
"""Okabe and Ito's palette, which color-blind eyes can tell apart, without its yellow, and three more."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
LABEL_LIMIT = 40
"""Characters of a curve's name that a legend shows."""
_COLUMNS = 3
_MARGIN = 0.1
"""Inches beside caption and legend."""
_HANDLE = 0.55
"""Inches that the legend spends on a curve's line, its padding and the space to the next column."""
_STYLE: Mapping[str, Any] = {
    "font.size": 9, "axes.titlesize": 9, "legend.fontsize": 8, "xtick.labelsize": 8, "ytick.labelsize": 8,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8,
    "svg.hashsalt": "robustness-harness", "svg.fonttype": "path",
    "pdf.fonttype": 42,  # TrueType: publishers refuse matplotlib's Type 3
}  # fmt: skip


@dataclass(frozen=True)
class Point:
    """One measured accuracy; shares, not percent. One that is not known is nan, and the line has a gap there."""

    x: float
    accuracy: float
    low: float
    """Lower end of the interval, which is drawn as a band."""
    high: float


@dataclass(frozen=True)
class Curve:
    """One line of a panel; points are drawn in the order given."""

    label: str
    points: tuple[Point, ...]
    mark: str = ""
    """Behind the label in the legend; the caption says what it means."""
    estimated: bool = False
    """Drawn with a broken line and open markers."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One pair of axes, accuracy in percent upwards."""

    title: str
    xlabel: str
    curves: tuple[Curve, ...]
    ticks: Mapping[float, str] = field(default_factory=dict)
    """What stands at which x; empty leaves it to matplotlib."""
    ylabel: str = "robust accuracy, %"
    log: bool = False
    """Whether x is logarithmic, as numbers of steps want it."""

    @property
    def empty(self) -> bool:
        """Whether no curve has a known point."""
        return all(math.isnan(point.accuracy) for curve in self.curves for point in curve.points)


def draw(panels: Sequence[Panel], path: Path, caption: str = "") -> None:
    """Draw panels side by side with one legend for all; curves of one label share color and marker.

    Args:
        panels: At least one, of which three stand in a row.
        path: Where to; the ending says the format: ``.png`` (300 dpi), ``.svg`` or ``.pdf``.
        caption: A line under the figure, for instance what the bands are.

    Raises:
        UsageError: another ending, or no panel.
        FileError: the file cannot be written.
        MissingPackage: matplotlib is not installed.
    """
    kind = check_ending(path)
    if not panels:
        raise UsageError("there is nothing to draw: no panel has a curve")
    check_installed("matplotlib", "figures", "drawing curves")
    import matplotlib

    metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        # A name in a script that the font lacks is drawn with placeholders, which is no reason to complain.
        warnings.filterwarnings("ignore", message=".*[Gg]lyph", category=UserWarning)
        figure = _figure(panels, caption)
        try:
            figure.savefig(path, format=kind, dpi=300, metadata=metadata)
        except OSError as error:
            raise FileError(f"{path} cannot be written: {error.strerror or error}; choose another file") from None


def check_ending(path: Path) -> str:
    """``png``, ``svg`` or ``pdf``; raises `UsageError` for another ending."""
    kind = path.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise UsageError(f"{str(path)!r} ends with none of {', '.join(f'.{name}' for name in FORMATS)}")
    return kind


def text_width(text: str, size: float) -> float:
    """Inches that one line of `text` takes at `size` points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=size), ismath=False)
    return float(width) / 72


def wrapped(text: str, size: float, room: float) -> str:
    """`text` in lines that fit into `room` inches; a word that does not is broken."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if text_width(longer, size) <= room:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for char in word:
            if lines[-1] and text_width(lines[-1] + char, size) > room:
                lines.append("")
            lines[-1] += char
    return "\n".join(lines)


def _figure(panels: Sequence[Panel], caption: str) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties

    columns = min(len(panels), _COLUMNS)
    rows = -(-len(panels) // columns)
    labels = list(dict.fromkeys(curve.label for panel in panels for curve in panel.curves))
    width = max(3.3, 2.6 * columns + 0.3)
    room = width - 2 * _MARGIN
    marks = {curve.label: f" {curve.mark}" if curve.mark else "" for panel in panels for curve in panel.curves}
    names = [wrapped(one_line(label, LABEL_LIMIT) + marks[label], 8, room - _HANDLE) for label in labels]
    widest = max(text_width(line, 8) for name in names for line in name.split("\n"))
    across = max(1, min(len(labels), 2 * columns, int(room / (widest + _HANDLE))))
    below = wrapped(one_line(caption, None), 7, room)
    titles = [wrapped(one_line(panel.title, 60), 9, width / columns - 0.7) for panel in panels]
    height = 2.35 * rows + 0.3 + 0.14 * below.count("\n")
    height += 0.14 * rows * max(title.count("\n") for title in titles)
    height += (0.2 + 0.14 * max(name.count("\n") for name in names)) * -(-len(labels) // across)
    figure = Figure((width, height), facecolor="white", layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    handles: dict[str, Any] = {}
    for place, axes in enumerate(grid.flat):
        if place >= len(panels):
            axes.set_visible(False)
            continue
        axes.set_title(titles[place], parse_math=False)
        for curve, handle in _fill(axes, panels[place], labels):
            handles.setdefault(curve.label, handle)
        if place % columns == 0:
            axes.set_ylabel(panels[place].ylabel, parse_math=False)
    legend = figure.legend(
        [handles[label] for label in labels],
        [str(place) for place in range(len(labels))],  # names come below, as text that is never read as mathematics
        loc="outside lower center", ncols=across, frameon=False,
    )  # fmt: skip
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_parse_math(False)
        text.set_text(name)
    if caption:
        legend.set_title(below, prop=FontProperties(size=7))
        legend.get_title().set(color="0.35", parse_math=False)
    return figure


def _fill(axes: Axes, panel: Panel, labels: Sequence[str]) -> Iterator[tuple[Curve, Any]]:
    axes.set_xlabel(one_line(panel.xlabel, 60), parse_math=False)
    axes.set_ylim(0, 100)
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    if panel.log:
        axes.set_xscale("log")
    if panel.ticks:
        axes.set_xticks(list(panel.ticks), list(panel.ticks.values()), parse_math=False)
        axes.minorticks_off()
    for curve in panel.curves:
        place = labels.index(curve.label)
        color, marker = COLORS[place % len(COLORS)], MARKERS[place % len(MARKERS)]
        xs = [point.x for point in curve.points]
        low, high = (
            [100 * value for value in ends] for ends in zip(*((p.low, p.high) for p in curve.points), strict=True)
        )
        axes.fill_between(xs, low, high, color=color, alpha=0.16, linewidth=0)
        shown = [100 * point.accuracy for point in curve.points]
        look: dict[str, Any] = {"linestyle": "--", "markerfacecolor": "white"} if curve.estimated else {}
        (line,) = axes.plot(xs, shown, color=color, marker=marker, markersize=3.5, linewidth=1.3, **look)
        yield curve, line
