"""``folder:DIR``: a folder of images, one subfolder a class, as torchvision's ImageFolder reads it."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from harness.errors import BadData, UsageError
from harness.types import DataRequest
from model_zoo.datasets.base import SPLIT_SEED

SPLITS = ("train", "val", "test")
MAX_PIXELS = 1 << 26
"""Of one image; it is decoded only if its header claims no more."""


class ImageFiles:
    """Images read from their files when they are taken; all must have the size of the first one."""

    def __init__(self, name: str, samples: Sequence[tuple[str, int]], classes: Sequence[str]) -> None:
        self.name = name
        self.classes = tuple(classes)
        self._samples = list(samples)
        self._shape: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self._samples)

    def take(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Images float32 [n,3,H,W] in [0,1] and labels int64 [n], in the order asked.

        Raises:
            BadData: a file is no image, or its size is another than the first one's; names the file.
        """
        rows = [int(i) for i in indices]
        pixels = [self._pixels(i) for i in rows] or [self._pixels(0)[:0]]
        labels = torch.tensor([self._samples[i][1] for i in rows], dtype=torch.int64)
        if not rows:
            return torch.empty(0, 3, *self._first_shape()[:2]), labels
        return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float().div_(255).contiguous(), labels

    def _first_shape(self) -> tuple[int, ...]:
        if self._shape is None:
            self._shape = _read(Path(self._samples[0][0])).shape
        return self._shape

    def _pixels(self, index: int) -> NDArray[np.uint8]:
        path = Path(self._samples[index][0])
        pixels, expected = _read(path), self._first_shape()
        if pixels.shape != expected:
            raise BadData(
                f"image {path} is {pixels.shape[1]}x{pixels.shape[0]}, the first one of the folder"
                f" {expected[1]}x{expected[0]}; resize them all to one size"
            )
        return pixels


def folder(request: DataRequest) -> ImageFiles:
    """The images under ``DIR/<split>/<class>/`` if there is such a folder, else under ``DIR/<class>/``.

    Classes are numbered in the order of their names, alike in all splits: by the class folders of ``train``, and where
    there is none by those of all splits together. Without split folders, a tenth of the files is held out as ``val``,
    chosen by a hash of their names, ``train`` is the rest, and ``test`` is everything.

    Raises:
        UsageError: no folder is named.
        BadData: it does not exist, holds no class folders with images, or has a class that ``train`` lacks.
    """
    if not request.argument:
        raise UsageError("data set folder needs a folder; write folder:DIR")
    top = Path(request.argument)
    if not top.is_dir():
        raise BadData(f"folder {top} does not exist; write folder:DIR with one subfolder a class")
    split_folders = [top / split for split in SPLITS if (top / split).is_dir()]
    chosen = top / request.split
    if split_folders and not chosen.is_dir():
        have = ", ".join(path.name for path in split_folders)
        raise BadData(f"folder {top} has no subfolder {request.split!r} (it has {have})")
    root = chosen if split_folders else top
    samples, classes = _scan(root)
    if split_folders:
        samples, classes = _numbered_alike(samples, classes, root, split_folders)
    elif request.split != "test":
        samples = [s for s in samples if _held_out(s[0], root) == (request.split == "val")]
        if not samples:
            raise BadData(f"folder {top} has too few images to hold out a validation split; add {top}/val/")
    return ImageFiles(f"folder-{top.resolve().name}-{request.split}", samples, classes)


def _scan(root: Path) -> tuple[list[tuple[str, int]], list[str]]:
    from torchvision.datasets import ImageFolder

    try:
        found: Any = ImageFolder(str(root))
    except (FileNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())
        raise BadData(f"folder {root} is no image folder: {reason[:200]}") from None
    return found.samples, found.classes


def _numbered_alike(
    samples: list[tuple[str, int]], classes: list[str], root: Path, split_folders: list[Path]
) -> tuple[list[tuple[str, int]], list[str]]:
    """Samples and classes of the split in `root`, numbered as in every other split."""
    train = [path for path in split_folders if path.name == "train"]
    shared = sorted({path.name for split in train or split_folders for path in split.iterdir() if path.is_dir()})
    if strange := [name for name in classes if name not in shared]:
        raise BadData(
            f"folder {root} has the class {strange[0]!r}, which {train[0]} lacks; rename or remove it, or add it there"
        )
    numbers = [shared.index(name) for name in classes]
    return [(path, numbers[label]) for path, label in samples], shared


def _held_out(path: str, root: Path) -> bool:
    relative = Path(path).relative_to(root).as_posix()
    return hashlib.sha256(f"{SPLIT_SEED} {relative}".encode()).digest()[0] < 256 // 10


def _read(path: Path) -> NDArray[np.uint8]:
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore")  # of odd metadata; what matters is refused
            if image.width * image.height > MAX_PIXELS:
                raise BadData(
                    f"image {path} claims {image.width}x{image.height} pixels, more than the {MAX_PIXELS:,} one"
                    " may have"
                )
            return np.asarray(image.convert("RGB"))
    except BadData:
        raise
    except Exception as error:  # decoders raise whatever comes to hand
        raise BadData(f"image {path} cannot be read ({type(error).__name__}: {error}); remove or replace it") from None
