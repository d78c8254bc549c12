"""GTSRB through torchvision's download, resized once to the pixels the npz files hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.base.folders import cache_folder
from harness.errors import BadData
from model_zoo.datasets.downloads import no_empty_folders
from model_zoo.datasets.gtsrb_archive import SIZE, Sample, as_arrays
from model_zoo.datasets.pictures import resize as resize_to


def download(split: str, root: Path | None) -> dict[str, NDArray[Any]]:
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
        with no_empty_folders(folder, "gtsrb/GTSRB"):
            folder.mkdir(parents=True, exist_ok=True)
            official: Any = GTSRB(str(folder), split=split, download=True)
    except Exception as error:  # network, disk or a changed archive: all the same to the user
        raise BadData(
            f"GTSRB is not under {folder} and cannot be downloaded ({type(error).__name__}: {error});"
            " give --data-root or HARNESS_DATA a folder with its npz files or its unpacked archive, or use --data signs"
        ) from error
    return as_arrays([Sample(Path(path), label) for path, label in official._samples], split)


def resize(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A whole image [H,W,3] at 32x32; see `pictures.resize`."""
    return resize_to(image, SIZE, SIZE).astype(np.uint8, copy=False)
