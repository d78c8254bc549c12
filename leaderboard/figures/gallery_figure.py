"""A gallery as one PNG: a row for each sample, three images wide."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.base.installing import check_installed
from harness.errors import FileError
from harness.evidence.suite_label import shown_label
from leaderboard.details import Picture
from leaderboard.figures.gallery import caption
from leaderboard.runs.record import Record
from leaderboard.tables.detail import class_name
from leaderboard.text import one_line

_ABREAST = 2
"""Samples side by side."""
_PARTS = ("clean", "perturbation", "adversarial")


def draw_gallery(pictures: Sequence[Picture], record: Record, path: Path) -> None:
    """Draw the pictures of a record with labels and confidences.

    Raises:
        FileError: the file cannot be written.
        MissingPackage: matplotlib is not installed.
    """
    check_installed("matplotlib", "figures", "drawing pictures")
    import matplotlib
    from matplotlib.figure import Figure

    names = [str(name) for name in record.info.classes or ()]
    abreast = min(_ABREAST, len(pictures))
    rows = -(-len(pictures) // abreast)
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        warnings.filterwarnings("ignore", message=".*[Gg]lyph", category=UserWarning)
        figure = Figure((4.6 * abreast, 1.95 * rows + 0.5), facecolor="white", layout="constrained")
        info = record.info
        title = f"{info.model.name}, {info.data.name}, {shown_label(info)}: what broke"
        figure.suptitle(one_line(title), fontsize=11, parse_math=False)
        blocks = figure.subfigures(rows, abreast, squeeze=False)
        for block, picture in zip(blocks.flat, pictures, strict=False):
            _block(block, picture, names)
        try:
            figure.savefig(path, format="png", dpi=200, metadata={"Software": None})
        except OSError as error:
            raise FileError(f"{path} cannot be written: {error.strerror or error}; choose another file") from None


def _block(block: Any, picture: Picture, names: Sequence[str]) -> None:
    from PIL import Image

    sign = class_name(names, picture.label)
    where = f"{sign}: {picture.attack} at {picture.epsilon_label}, sample {picture.sample}"
    block.suptitle(one_line(where, 60), fontsize=8, color="0.3", parse_math=False)
    said = caption(picture, names)
    for axes, part in zip(block.subplots(1, 3), _PARTS, strict=True):
        with Image.open(io.BytesIO(getattr(picture, part))) as image:
            axes.imshow(image.convert("RGB"), interpolation="nearest")
        axes.set_axis_off()
        color = "#b3261e" if part == "adversarial" else "0.1"
        axes.set_title(one_line(said[part], 26), fontsize=7, color=color, y=-0.18, parse_math=False)
