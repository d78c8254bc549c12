"""GTSRB through torchvision's download, resized once to the pixels the npz files hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from harness.base.machine import cache_folder
from harness.errors import BadData

SIZE = 32
DUPLICATED_TRACK = (14, 23)
"""Class and track number within the class that is left out: eight official test images are pixel-identical to it."""


def download(split: str, root: Path | None) -> dict[str, NDArray[np.integer]]:
    """Arrays ``images`` uint8 [N,32,32,3], ``labels`` and ``track`` (which means something in ``train`` only).

    Args:
        split: ``train`` or ``test``.
        root: where the archive is kept; the cache folder if None.

    Raises:
        BadData: the download failed; the message says how to give a local copy.
    """
    from torchvision.datasets import GTSRB

    folder = root or cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        official: Any = GTSRB(str(folder), split=split, download=True)
    except Exception as error:  # network, disk or a changed archive: all the same to the user
        raise BadData(
            f"GTSRB is not under {folder} and cannot be downloaded ({type(error).__name__}: {error});"
            " give --data-root or HARNESS_DATA a folder with its npz files, or use --data signs"
        ) from error
    images, labels, tracks = [], [], []
    for path, label in official._samples:
        # Files of the training set are named <track within the class>_<frame>.ppm.
        within = int(Path(path).stem.split("_")[0]) if split == "train" else 0
        if split == "train" and (label, within) == DUPLICATED_TRACK:
            continue
        with Image.open(path) as image:
            images.append(resize(np.asarray(image.convert("RGB"))))
        labels.append(label)
        tracks.append(label * 1000 + within)
    return {
        "images": np.stack(images),
        "labels": np.array(labels, dtype=np.int64),
        "track": np.array(tracks, dtype=np.int64),
    }


def resize(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A whole image [H,W,3] at 32x32: bilinear, without antialiasing."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    small = F.interpolate(pixels, size=(SIZE, SIZE), mode="bilinear", align_corners=False, antialias=False)
    array: NDArray[np.uint8] = small[0].round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    return array
