"""``csv:FILE``: images and labels as a table names them, one line an image, like GTSRB's ``Test.csv``."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from pathlib import Path

from harness.errors import BadData, UsageError
from harness.types import DataRequest
from model_zoo.datasets.argument import choice, path_and_options, size, whole
from model_zoo.datasets.base import held_out_rows
from model_zoo.datasets.class_names import in_order, is_number
from model_zoo.datasets.image_files import ImageFiles

PATHS = ("path", "filename", "file", "file_name", "image_path", "image", "filepath")
LABELS = ("classid", "label", "class_id", "class", "target", "labels", "category")
"""Names of columns, in any case, the likelier ones first."""
BOXES = (
    ("roi.x1", "roi.y1", "roi.x2", "roi.y2"),
    ("left", "top", "right", "bottom"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x1", "y1", "x2", "y2"),
)
"""The same of the edges of a box."""
DELIMITERS = (";", "\t", ",")
MOST_CLASSES = 100_000
OPTIONS = ("path", "label", "box", "size", "channels", "bits", "first")

Row = dict[str, str]


def table(request: DataRequest) -> ImageFiles:
    """The images of the table in the file `request.argument`; paths are relative to its folder.

    Labels are whole numbers, or names, which are numbered in their order. A tenth of the lines, always the same, is
    ``val``, ``train`` is the rest, and ``test`` is everything. Boxes, such as GTSRB's regions of interest, are not cut
    out; they tell where a patch of ``place = "boxes"`` lies.

    Options behind a question mark: ``path=COLUMN``, ``label=COLUMN`` and ``box=LEFT,TOP,RIGHT,BOTTOM`` name the
    columns, ``first=1`` says that labels
    count from 1; ``size``, ``channels`` and ``bits`` as in `folder`.

    Raises:
        UsageError: no file is named, or an option is wrong.
        BadData: no table, no such column, a line without a label, or an image that is not there; names file and line.
    """
    text, options = path_and_options("csv", request.argument, OPTIONS)
    path = Path(text)
    columns, rows = read_table(path)
    image, label = column(path, columns, "path", PATHS, options), column(path, columns, "label", LABELS, options)
    first = whole(options, "first", 0, 1) or 0
    files = [path.parent / row[image] for row in rows]
    for line, file in enumerate(files, 2):
        if not os.path.isfile(file):  # unlike Path.is_file, which raises where a name is too long
            raise BadData(f"table {path}, line {line}: there is no image {file}")
    numbers, classes = numbered([row[label] for row in rows], f"table {path}, column {label}", first)
    samples = [(str(file), number) for file, number in zip(files, numbers, strict=True)]
    edges = box_edges(path, columns, rows, options)
    if request.split != "test":
        mine = [place for place, val in enumerate(held_out_rows(len(samples))) if val == (request.split == "val")]
        samples, edges = [samples[place] for place in mine], edges and [edges[place] for place in mine]
        if not samples:
            raise BadData(f"table {path} has too few lines to hold out a validation split; give it ten or more")
    return ImageFiles(
        f"csv-{path.stem}-{request.split}",
        samples,
        classes,
        size=size(options),
        channels=1 if choice(options, "channels", ("1", "3")) == "1" else 3,
        bits=whole(options, "bits", 9, 16),
        edges=edges,
    )


def read_table(path: Path) -> tuple[list[str], list[Row]]:
    """Column names and lines of a table with a header; its delimiter is a semicolon, a tab or a comma.

    Raises:
        BadData: unreadable, no text, without lines, or with a line of another number of fields.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            header = stream.readline()
            delimiter = next((d for d in DELIMITERS if d in header), ",")
            stream.seek(0)
            lines = [line for line in csv.reader(stream, delimiter=delimiter, skipinitialspace=True) if line]
    except OSError as error:
        raise BadData(f"table {path} cannot be read: {error.strerror or error}") from None
    except (ValueError, csv.Error) as error:
        raise BadData(f"table {path} is no table of text: {error}") from None
    if len(lines) < 2:
        raise BadData(f"table {path} has no lines below its header")
    columns = [name.strip() for name in lines[0]]
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(columns):
            raise BadData(f"table {path}, line {number} has {len(line)} fields, the header {len(columns)}")
    return columns, [dict(zip(columns, (field.strip() for field in line), strict=True)) for line in lines[1:]]


def column(path: Path, columns: Sequence[str], kind: str, usual: Sequence[str], options: Row) -> str:
    """The column that the option `kind` names, or the first of the `usual` ones that is there.

    Raises:
        BadData: it is not there.
    """
    have = ", ".join(columns[:20])
    if kind in options:
        if options[kind] not in columns:
            raise BadData(f"table {path} has no column {options[kind]!r} (it has {have})")
        return options[kind]
    lower = {name.lower(): name for name in reversed(columns)}
    found = next((lower[name] for name in usual if name in lower), None)
    if found is None:
        raise BadData(f"table {path} has no column of {kind}s that is known (it has {have}); name it: ?{kind}=COLUMN")
    return found


def box_edges(path: Path, columns: Sequence[str], rows: Sequence[Row], options: Row) -> list[list[float]] | None:
    """A box for each line: its left, top, right and bottom edge; NaN for what is no number. None if there are none.

    Raises:
        UsageError: the option ``box`` does not name four columns.
        BadData: it names one that is not there.
    """
    if "box" in options:
        named = options["box"].split(",")
        if len(named) != 4:
            raise UsageError(f"option box={options['box']} is not four columns; write box=LEFT,TOP,RIGHT,BOTTOM")
        edges = [column(path, columns, "box", (), {"box": name}) for name in named]
    else:
        lower = {name.lower(): name for name in reversed(columns)}
        edges = next(([lower[name] for name in four] for four in BOXES if all(name in lower for name in four)), [])
    return [[_edge(row[name]) for name in edges] for row in rows] if edges else None


def _edge(text: str) -> float:
    """A number of pixels; what is none spoils its own box alone."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def numbered(texts: Sequence[str], where: str, first: int = 0) -> tuple[list[int], list[str]]:
    """Labels and class names of labels as text: numbers mean themselves (less `first`), names are numbered in order.

    Raises:
        BadData: one is empty, below `first`, too large, or there are numbers and names.
    """
    for line, text in enumerate(texts, 2):
        if not text:
            raise BadData(f"{where}: line {line} has no label")
    numbers = [is_number(text) for text in texts]
    if not any(numbers):
        names = in_order(set(texts))
        position = {name: k for k, name in enumerate(names)}
        return [position[text] for text in texts], names
    if not all(numbers):
        line = numbers.index(not numbers[0]) + 2
        raise BadData(
            f"{where}: line {line} has the label {texts[line - 2]!r:.40}, line 2 {texts[0]!r:.40}; numbers or names?"
        )
    values = [int(text) - first for text in texts]
    if min(values) < 0 or max(values) >= MOST_CLASSES:
        low, high = min(values) + first, max(values) + first
        raise BadData(f"{where}: labels run from {low} to {high}; they begin at {first}")
    return values, [str(k + first) for k in range(max(values) + 1)]
