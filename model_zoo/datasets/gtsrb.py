"""GTSRB, the German Traffic Sign Recognition Benchmark (Stallkamp et al., 2011), whole images at 32x32.

There are three sources: npz files (``train-0.npz``, ``train-1.npz``, ``train-2.npz``, ``test.npz``) in the data root or
a folder ``gtsrb32`` in it, the unpacked official archive or Kaggle's copy of it there, and torchvision's download.
Frames of one *track* (one sign filmed up to 30 times) look alike, so the validation split takes whole tracks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.base.arrays import array_names, read_arrays
from harness.errors import BadData
from harness.types import DataRequest
from model_zoo.datasets.base import SPLIT_SEED, ArrayDataset, refuse_argument
from model_zoo.datasets.classes import TRAFFIC_SIGNS

SIZE = 32
VALIDATION_SHARE = 0.1
TRAIN_FILES = ("train-0.npz", "train-1.npz", "train-2.npz")
TEST_FILE = "test.npz"

Arrays = dict[str, NDArray[Any]]


def gtsrb(request: DataRequest) -> ArrayDataset:
    """The split `request.split` of GTSRB: ``gtsrb-train``, ``gtsrb-val`` or ``gtsrb-test``.

    Validation takes about a tenth of the tracks of each class, the same ones for every seed; training has the rest.

    Raises:
        UsageError: the request has an argument.
        BadData: no local copy and no download, or a file is corrupt or has other arrays than expected.
    """
    refuse_argument("gtsrb", request)
    folder = _local_folder(request.root)
    if request.split == "test":
        arrays = read_npz(folder / TEST_FILE, ("images", "labels")) if folder else _official("test", request.root)
        images = arrays["images"].astype(np.uint8)
        return ArrayDataset("gtsrb-test", images, arrays["labels"], TRAFFIC_SIGNS, edges=arrays.get("boxes"))
    if folder:
        keys = ("images", "labels", "track")
        files = [read_npz(folder / name, keys) for name in TRAIN_FILES]
        arrays = {key: np.concatenate([part[key] for part in files]) for key in keys}
    else:
        arrays = _official("train", request.root)
    held_out = validation_rows(arrays["labels"], arrays["track"], SPLIT_SEED)
    rows = held_out if request.split == "val" else ~held_out
    images = arrays["images"][rows].astype(np.uint8)
    return ArrayDataset(f"gtsrb-{request.split}", images, arrays["labels"][rows], TRAFFIC_SIGNS)


def validation_rows(
    labels: NDArray[np.integer], track: NDArray[np.integer], seed: int, share: float = VALIDATION_SHARE
) -> NDArray[np.bool_]:
    """Which rows are held out: `share` of the tracks of each class (at least one), all frames of them.

    A class filmed in a single track keeps it for training.
    """
    chosen: list[NDArray[np.integer]] = []
    for label in np.unique(labels):
        tracks = np.unique(track[labels == label])
        if len(tracks) > 1:
            generator = np.random.default_rng([seed, int(label)])
            chosen.append(generator.permutation(tracks)[: max(1, round(share * len(tracks)))])
    return np.isin(track, np.concatenate(chosen)) if chosen else np.zeros(len(labels), dtype=bool)


def _local_folder(root: Path | None) -> Path | None:
    if root is None:
        return None
    if not root.is_dir():
        raise BadData(f"data root {root} is no folder; give the folder that holds {TEST_FILE}, gtsrb32/ or GTSRB/")
    for folder in (root / "gtsrb32", root):
        if any((folder / name).exists() for name in (*TRAIN_FILES, TEST_FILE)):
            return folder
    return None


def read_npz(path: Path, keys: tuple[str, ...]) -> Arrays:
    """The arrays `keys` of one npz file, checked, and ``boxes`` if it has them.

    Raises:
        BadData: missing, not an npz file, truncated, or arrays of another shape or type; names the file.
    """
    try:
        optional = {"boxes"} & set(array_names(path))
        arrays: Arrays = read_arrays(path, [*keys, *optional])
    except FileNotFoundError:
        raise BadData(f"{path} is missing; the folder needs {', '.join((*TRAIN_FILES, TEST_FILE))}") from None
    images, labels = arrays["images"], arrays["labels"]
    if images.dtype != np.uint8 or images.shape[1:] != (SIZE, SIZE, 3):
        raise BadData(f"{path}: images are {images.dtype} {images.shape}; expected uint8 (N, {SIZE}, {SIZE}, 3)")
    for key in keys[1:]:
        if arrays[key].shape != (len(images),) or not np.issubdtype(arrays[key].dtype, np.integer):
            raise BadData(f"{path}: {key} is {arrays[key].dtype} {arrays[key].shape}; expected {len(images)} integers")
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(TRAFFIC_SIGNS):
        raise BadData(
            f"{path}: a label of {labels.min()} to {labels.max()} is outside the {len(TRAFFIC_SIGNS)} classes"
        )
    return arrays


def _official(split: str, root: Path | None) -> Arrays:
    """From the unpacked archive under `root`, or downloaded."""
    from model_zoo.datasets import gtsrb_archive, gtsrb_download  # torchvision and PIL, only when needed

    samples = gtsrb_archive.find_archive(root, split) if root else None
    return gtsrb_archive.as_arrays(samples, split) if samples else gtsrb_download.download(split, root)
