"""``hf:DIR``: a folder that the package ``datasets`` wrote with ``save_to_disk``, read sample by sample."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from harness.errors import BadData, MissingPackage
from harness.types import DataRequest
from model_zoo.datasets.argument import choice, path_and_options, size
from model_zoo.datasets.pictures import image_pixels, resize

OPTIONS = ("image", "label", "size", "channels")
IMAGES = ("image", "img", "pixel_values")
LABELS = ("label", "labels", "fine_label", "target")
SPLITS = {"train": ("train",), "val": ("validation", "val", "valid"), "test": ("test",)}


class HubImages:
    """A table of the package ``datasets`` with a column of images and one of whole numbers."""

    def __init__(
        self, name: str, rows: Any, columns: tuple[str, str], size: tuple[int, int] | None, channels: int
    ) -> None:
        self.name = name
        self._rows, self._columns, self._size, self._channels = rows, columns, size, channels
        self._shape: torch.Size | None = None
        names = getattr(rows.features[columns[1]], "names", None)
        labels = np.asarray(rows[columns[1]])
        if labels.dtype.kind not in "iu" or labels.ndim != 1 or (len(labels) and labels.min() < 0):
            raise BadData(f"{name}: column {columns[1]!r} holds no whole numbers from 0; name another: ?label=COLUMN")
        self._labels = torch.from_numpy(labels.astype(np.int64))
        count = int(labels.max()) + 1 if len(labels) else 0
        self.classes: tuple[str, ...] = tuple(names) if names else tuple(str(k) for k in range(count))

    def __len__(self) -> int:
        return len(self._labels)

    def take(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Images float32 [n,C,H,W] in [0,1] and labels int64 [n], in the order asked.

        Raises:
            BadData: a row holds no image of 8 bits, or one of another size than the first row's.
        """
        images = [self._image(int(index)) for index in indices]
        for index, image in zip(indices, images, strict=True):
            self._shape = self._shape or self._image(0).shape
            if image.shape != self._shape:
                raise BadData(
                    f"image {int(index)} of {self.name} is {tuple(image.shape)}, the first one {tuple(self._shape)};"
                    f" let ?size={self._shape[2]}x{self._shape[1]} behind the path resize them"
                )
        rows = torch.as_tensor([int(index) for index in indices], dtype=torch.int64)
        return torch.stack(images) if images else self.take([0])[0][:0], self._labels[rows]

    def _image(self, index: int) -> Tensor:
        image: Any = self._rows[index][self._columns[0]]
        called = f"image {index} of {self.name}"
        if not isinstance(image, Image.Image):
            raise BadData(f"{called} is a {type(image).__name__}; expected a column of images; name it: ?image=COLUMN")
        pixels = image_pixels(image, called, self._channels)
        if pixels.dtype != np.uint8:
            raise BadData(f"{called} has 16 bits a pixel, whose white is not known here; convert it to 8 bits")
        if self._size is not None:
            pixels = resize(pixels, *self._size)
        return torch.from_numpy(np.array(pixels)).permute(2, 0, 1).float().div_(255)


def hub(request: DataRequest) -> HubImages:
    """The split of the folder `request.argument`; of a folder without splits ``test`` is everything.

    Options behind a question mark: ``image=COLUMN`` and ``label=COLUMN``; ``size`` and ``channels`` as in `folder`.

    Raises:
        UsageError: no folder is named, or an option is wrong.
        MissingPackage: ``datasets`` is not installed.
        BadData: no such folder, no such split, or no columns of images and labels.
    """
    path, options = path_and_options("hf", request.argument, OPTIONS, "DIR")
    if not Path(path).is_dir():
        raise BadData(f"folder {path} does not exist; write hf:DIR with a folder that save_to_disk wrote")
    try:
        package: Any = import_module("datasets")
    except ImportError:
        raise MissingPackage("data set hf needs the package datasets; pip install datasets") from None
    try:
        found = package.load_from_disk(path)
    except Exception as error:  # whatever the package makes of a stranger's folder
        text = " ".join(str(error).split())[:200]
        raise BadData(f"folder {path} cannot be read as a data set ({type(error).__name__}: {text})") from None
    if hasattr(found, "keys"):
        split = next((name for name in SPLITS[request.split] if name in found), None)
        if split is None:
            raise BadData(f"folder {path} has no split {request.split!r} (it has {', '.join(found.keys())})")
        found = found[split]
    elif request.split != "test":
        raise BadData(f"folder {path} has no splits, and is measured as it is; save a DatasetDict to train on")
    columns = _column(path, found, "image", IMAGES, options), _column(path, found, "label", LABELS, options)
    channels = 1 if choice(options, "channels", ("1", "3")) == "1" else 3
    return HubImages(f"hf-{Path(path).resolve().name}-{request.split}", found, columns, size(options), channels)


def _column(path: str, found: Any, kind: str, usual: Sequence[str], options: dict[str, str]) -> str:
    have = list(found.features)
    names = [options[kind]] if kind in options else usual
    column = next((name for name in names if name in have), None)
    if column is None:
        raise BadData(f"folder {path} has no column {names[0]!r} (it has {', '.join(have)}); name one: ?{kind}=COLUMN")
    return column
