"""``images.npz`` and ``images.npy,labels.npy``: arrays; layout and range are told, never guessed in silence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.base.arrays import array_names, read_array, read_arrays
from harness.errors import BadData, UsageError
from harness.inputs.labels import as_labels
from harness.inputs.pixels import as_floats, layout_of
from harness.types import DataRequest
from model_zoo.datasets.argument import choice, path_and_options, whole
from model_zoo.datasets.base import held_out_rows
from model_zoo.datasets.pictures import say

IMAGES = ("images", "x_{split}", "{split}_images", "X", "x", "data", "arr_0")
LABELS = ("labels", "y_{split}", "{split}_labels", "y", "targets", "arr_1")
"""Names of arrays in an npz file, the likelier ones first."""
BOXES = ("boxes", "boxes_{split}", "{split}_boxes")
OPTIONS = ("images", "labels", "boxes", "layout", "range", "first", "severity")
SEVERITIES = 5
"""Equal parts of a file of corrupted images, the mildest first, as the field's sets have them."""
LOOKED = 512
"""Images that are looked at for their range, spread over the file."""


@dataclass(frozen=True, kw_only=True)
class ArrayImages:
    """Images of any numeric type, in memory or mapped from a file; float32 [n,C,H,W] in [0,1] when they are taken."""

    name: str
    images: NDArray[Any]
    labels: NDArray[np.int64]
    classes: Sequence[str]
    layout: str
    """``nchw``, ``nhwc`` or ``nhw``."""
    white: float
    """The value that becomes 1."""
    rows: NDArray[np.int64]
    """Which rows of `images` and `labels` the data set is."""
    edges: NDArray[Any] | None = None
    """A box for each image, [N,4], in pixels: left, top, right, bottom."""

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Images float32 [n,C,H,W] and labels int64 [n], in the order asked."""
        rows = self.rows[np.asarray(list(indices), dtype=np.int64)]
        return as_floats(self.images[rows], self.layout, self.white), torch.from_numpy(self.labels[rows])

    def boxes(self, indices: Sequence[int]) -> NDArray[Any] | None:
        """See `harness.types.Boxed`.

        Raises:
            BadData: the file's boxes are no numbers [N,4].
        """
        edges = self.edges
        if edges is None:
            return None
        if edges.shape != (len(self.images), 4) or edges.dtype.kind not in "iuf":
            raise BadData(
                f"boxes of {self.name} are {edges.dtype} {edges.shape}; expected numbers [{len(self.images)},4]: left,"
                " top, right, bottom"
            )
        return edges[self.rows[np.asarray(list(indices), dtype=np.int64)]]


def arrays(request: DataRequest) -> ArrayImages:
    """The images of one npz file, or of two npy files with a comma between them.

    A tenth of the rows, always the same, is ``val``, ``train`` is the rest, and ``test`` is everything; an npz file
    with arrays such as ``x_test`` and ``x_train`` has ``test`` and, split so, training images of its own.

    Options behind a question mark: ``images=NAME``, ``labels=NAME`` and ``boxes=NAME`` in an npz file,
    ``layout=nchw`` or ``nhwc``, ``range=255`` (or 1, 65535, ...): the value of white, ``first=1``: labels count from 1,
    ``severity=3``: the third fifth of the rows.

    Raises:
        UsageError: no file is named, or an option is wrong.
        BadData: unreadable, arrays that do not fit each other, or a layout or range that could be two things; says
            which option decides.
    """
    text, options = path_and_options("arrays", request.argument, OPTIONS)
    part = "test" if request.split == "test" else "train"
    first = whole(options, "first", 0, 1) or 0
    paths = [Path(name) for name in text.split(",")]
    if len(paths) == 1 and paths[0].suffix == ".npz":
        images, labels, names, edges = _from_npz(paths[0], part, options)
    elif len(paths) == 2 and all(path.suffix == ".npy" for path in paths):
        (images, labels), names, edges = [_from_npy(path) for path in paths], None, None
    else:
        raise UsageError(f"arrays {text!r} are neither images.npz nor images.npy,labels.npy; write one of them")
    where = f"images of {paths[0]}"
    layout = layout_of(images, where, choice(options, "layout", ("nchw", "nhwc")))
    numbers, count = as_labels(labels, len(images), f"labels of {paths[-1]}", first)
    if not images.size:
        raise BadData(f"{where} are {images.shape}: there is {'no pixel in them' if len(images) else 'none'}")
    white, why = _white(images, where, options.get("range"))
    say(f"{where} are read as {images.dtype} {images.shape}, layout {layout}, white is {white:g} ({why})")
    classes = [str(k + first) for k in range(count)] if names is None else names
    if len(classes) < count:
        raise BadData(f"{paths[0]} names {len(classes)} classes, and its labels have {count}")
    rows, severity = np.arange(len(images)), whole(options, "severity", 1, SEVERITIES)
    if severity is not None:
        if len(rows) % SEVERITIES:
            raise BadData(f"{where} are {len(rows)}, which are not {SEVERITIES} equal parts; leave severity out")
        rows = np.split(rows, SEVERITIES)[severity - 1]
    if part == "train":
        held_out = held_out_rows(len(rows))
        rows = rows[held_out] if request.split == "val" else rows[~held_out]
    level = "" if severity is None else f"-severity-{severity}"
    name = f"arrays-{paths[0].stem}{level}-{request.split}"
    return ArrayImages(
        name=name,
        images=images,
        labels=numbers,
        classes=tuple(classes),
        layout=layout,
        white=white,
        rows=rows,
        edges=edges,
    )


def _from_npz(
    path: Path, part: str, options: dict[str, str]
) -> tuple[NDArray[Any], NDArray[Any], list[str] | None, NDArray[Any] | None]:
    """Images, labels, names of the classes and boxes; the last two None where the file has none."""
    try:
        have = array_names(path)
        keys = [
            _key(path, have, kind, usual, part, options) for kind, usual in (("images", IMAGES), ("labels", LABELS))
        ]
        named = "classes" if "classes" in have else "class_names" if "class_names" in have else None
        known = (form.format(split=part) for form in BOXES)
        boxed = options.get("boxes") or next((name for name in known if name in have), None)
        found = read_arrays(path, [*keys, *(name for name in (named, boxed) if name)])
    except FileNotFoundError:
        raise BadData(f"there is no file {path}") from None
    names = None
    if named:
        if found[named].dtype.kind != "U" or found[named].ndim != 1:
            raise BadData(f"{path}: {named} is {found[named].dtype} {found[named].shape}; expected a list of texts")
        names = [str(name) for name in found[named]]
    return found[keys[0]], found[keys[1]], names, found[boxed] if boxed else None


def _key(path: Path, have: Sequence[str], kind: str, usual: Sequence[str], part: str, options: dict[str, str]) -> str:
    if kind in options:
        return options[kind]  # its absence is told by the reader
    known = [name.format(split=part) for name in usual]
    found = next((name for name in known if name in have), None)
    if found is None:
        raise BadData(
            f"{path} has no array of {kind} that is known (it has {', '.join(have[:20])}); name it: ?{kind}=NAME"
        )
    return found


def _from_npy(path: Path) -> NDArray[Any]:
    try:
        return read_array(path)
    except FileNotFoundError:
        raise BadData(f"there is no file {path}") from None


def _white(images: NDArray[Any], where: str, asked: str | None) -> tuple[float, str]:
    """The value of white, and why; refused where the values could mean two things."""
    spread = sorted({int(i) for i in np.linspace(0, len(images) - 1, min(LOOKED, len(images)))})
    looked = np.asarray(images[spread])
    if looked.dtype.kind == "b":
        return 1.0, "true"
    low, high = float(looked.min()), float(looked.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise BadData(f"{where} hold nan or infinite values")
    if low < 0:
        raise BadData(
            f"{where} run from {low:g} to {high:g}: they are normalized; give the pixels before it, normalization"
            " belongs inside the model"
        )
    if asked is not None:
        try:
            white = float(asked)
        except ValueError:
            white = math.nan
        if not 0 < white < math.inf:
            raise UsageError(f"option range={asked} is no value of white; write for instance range=255")
        if high > white:
            raise BadData(f"{where} reach {high:g}, above range={asked}")
        return white, "asked for"
    whole_numbers = looked.dtype.kind in "iu" or bool((looked == np.round(looked)).all())
    if looked.dtype == np.uint8:
        return 255.0, "uint8"
    if looked.dtype.kind == "f" and high <= 1 and not (whole_numbers and high == 0):
        return 1.0, f"floats from {low:g} to {high:g}"
    if whole_numbers and 32 <= high <= 255:
        return 255.0, f"whole numbers up to {high:g}"
    if whole_numbers and 32767 < high <= 65535:
        return 65535.0, f"whole numbers up to {high:g}"
    raise BadData(f"{where} are {images.dtype} from {low:g} to {high:g}; say what white is: ?range=255, ?range=1, ...")
