"""GTSRB as its official archives and Kaggle's copy unpack: folders of images of all sizes, a table of test labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import BadData
from model_zoo.datasets.class_names import is_number
from model_zoo.datasets.classes import TRAFFIC_SIGNS
from model_zoo.datasets.csv_table import LABELS, PATHS, box_edges, column, read_table
from model_zoo.datasets.pictures import read_pixels, resize

SIZE = 32
DUPLICATED_TRACK = (14, 23)
"""Class and track number within the class that is left out: eight official test images are pixel-identical to it."""
TOPS = ("", "GTSRB", "gtsrb", "gtsrb/GTSRB")
TRAINING = ("Final_Training/Images", "Training", "Train")
TESTING = ("Final_Test/Images", "Test")
TABLES = ("GT-final_test.csv", "Test.csv")


@dataclass(frozen=True)
class Sample:
    """An image of the archive."""

    path: Path
    label: int
    box: Sequence[float] | None = None
    """Region of interest: left, top, right, bottom in pixels of the file."""


def find_archive(root: Path, split: str) -> list[Sample] | None:
    """Image files and labels of an unpacked archive under `root`, or None if there is none.

    Args:
        root: The data root.
        split: ``train`` (with what is held out for validation) or ``test``.

    Raises:
        BadData: test images without their table, or the table names a file that is not there.
    """
    tops = [root / top for top in TOPS if (root / top).is_dir()]
    places = [top / name for top in tops for name in (TRAINING if split == "train" else TESTING)]
    for place in places:
        if not place.is_dir():
            continue
        found = _training(place) if split == "train" else _testing(place, root)
        if found:
            return found
    return None


def as_arrays(samples: Sequence[Sample], split: str) -> dict[str, NDArray[Any]]:
    """Arrays ``images`` uint8 [N,32,32,3], ``labels`` and ``track`` (which means something in ``train`` only).

    Where all samples have a box, ``boxes`` float64 [N,4] are these in pixels of the resized images.
    """
    images, labels, tracks, boxes = [], [], [], []
    for sample in samples:
        path, label = sample.path, sample.label
        # Training files are named <track within the class>_<frame>, Kaggle's <class>_<track>_<frame>.
        within = int(path.stem.split("_")[-2]) if split == "train" else 0
        if split == "train" and (label, within) == DUPLICATED_TRACK:
            continue
        pixels = read_pixels(path)
        images.append(resize(pixels, SIZE, SIZE).astype(np.uint8, copy=False))
        if sample.box is not None:
            height, width = pixels.shape[:2]
            boxes.append(np.array(sample.box) * SIZE / np.array([width, height] * 2))
        labels.append(label)
        tracks.append(label * 1000 + within)
    found = {"boxes": np.stack(boxes)} if len(boxes) == len(images) else {}
    return found | {
        "images": np.stack(images),
        "labels": np.array(labels, dtype=np.int64),
        "track": np.array(tracks, dtype=np.int64),
    }


def _training(place: Path) -> list[Sample]:
    folders = [path for path in place.iterdir() if path.is_dir() and is_number(path.name)]
    samples = []
    for folder in sorted(folders, key=lambda path: int(path.name)):
        if int(folder.name) >= len(TRAFFIC_SIGNS):
            raise BadData(f"{folder} is no class of GTSRB; they are 0 to {len(TRAFFIC_SIGNS) - 1}")
        for path in sorted(p for p in folder.iterdir() if p.suffix in (".ppm", ".png")):
            parts = path.stem.split("_")
            if len(parts) < 2 or not all(map(is_number, parts)):
                raise BadData(f"{path} is not named TRACK_FRAME as in GTSRB; validation holds out whole tracks")
            samples.append(Sample(path, int(folder.name)))
    return samples


def _testing(place: Path, root: Path) -> list[Sample]:
    if not any(path.suffix in (".ppm", ".png") for path in place.iterdir()):
        return []
    beside = [place, place.parent, place.parent.parent, root / "gtsrb", root]
    tables = [folder / name for folder in beside for name in TABLES if (folder / name).is_file()]
    if not tables:
        raise BadData(
            f"{place} has images but no labels; put {TABLES[0]} of GTSRB_Final_Test_GT.zip, or Kaggle's"
            f" {TABLES[1]}, there"
        )
    columns, rows = read_table(tables[0])
    name, label = column(tables[0], columns, "path", PATHS, {}), column(tables[0], columns, "label", LABELS, {})
    edges = box_edges(tables[0], columns, rows, {})
    samples = []
    for line, row in enumerate(rows, 2):
        path = place / Path(row[name]).name
        if not is_number(row[label]) or int(row[label]) >= len(TRAFFIC_SIGNS):
            raise BadData(
                f"{tables[0]}, line {line}: {row[label]!r} is no class of GTSRB (0 to {len(TRAFFIC_SIGNS) - 1})"
            )
        if not os.path.isfile(path):  # unlike Path.is_file, which raises where a name is too long
            raise BadData(f"{tables[0]}, line {line}: there is no image {path}")
        samples.append(Sample(path, int(row[label]), None if edges is None else edges[line - 2]))
    return samples
