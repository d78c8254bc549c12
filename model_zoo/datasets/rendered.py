"""The bundled set ``signs``: rendered traffic signs, drawn for training and validation, frozen for testing."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray

from harness.base.folders import cache_folder
from harness.base.text import whole_number
from harness.errors import UsageError
from harness.types import DataRequest
from model_zoo.datasets.base import ArrayDataset
from model_zoo.datasets.classes import TRAFFIC_SIGNS

DEFAULT_ROWS = {"train": 34_000, "val": 1_290}


def signs(request: DataRequest) -> ArrayDataset:
    """The split `request.split`: ``signs`` (the frozen test file), ``signs-train`` or ``signs-val`` (rendered now).

    Train and validation images are rendered from disjoint streams of `request.seed`, classes in turn;
    `request.argument` is the number of training images (``signs:10000``). A training asks for its validation images
    under the same name, and their number stays as it is.

    Raises:
        UsageError: the argument is no positive whole number, or the test split is to have one.
        BadData: the frozen file is missing or corrupt.
    """
    wanted = _number(request.argument)
    if request.split == "test":
        if wanted is not None:
            raise UsageError(
                f"signs:{wanted} says how many images to train on, and the test split is a file; write signs"
                f" (harness eval takes fewer samples with --n {wanted})"
            )
        from model_zoo.datasets.signs.freeze import load_test

        images, labels = load_test()
        return ArrayDataset("signs", images, labels, TRAFFIC_SIGNS)
    count = wanted if wanted is not None and request.split == "train" else DEFAULT_ROWS[request.split]
    drawn = np.arange(count) % len(TRAFFIC_SIGNS)
    images = _render_once(drawn, request.seed, request.split)
    return ArrayDataset(f"signs-{request.split}", images, drawn, TRAFFIC_SIGNS)


def _number(argument: str | None) -> int | None:
    if argument is None:
        return None
    if not (number := whole_number(argument)):
        raise UsageError(f"signs:{argument} is no number of images; write for instance signs:34000")
    return number


def _render_once(drawn: NDArray[np.int64], seed: int, split: str) -> NDArray[np.uint8]:
    """Rendered images, kept in the cache folder under a hash of the renderer's source and of what was asked."""
    from model_zoo.datasets.signs import render

    digest = hashlib.sha256(f"{seed} {split} {len(drawn)} {np.__version__} {PIL.__version__}".encode())
    for source in sorted(Path(render.__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    path = cache_folder() / f"signs-{split}-{len(drawn)}-{digest.hexdigest()[:16]}.npy"
    try:
        images: NDArray[np.uint8] = np.load(path, allow_pickle=False)
        if images.shape == (len(drawn), 32, 32, 3) and images.dtype == np.uint8:
            return images
    except (OSError, ValueError, EOFError):
        pass  # not there, or torn: rendered anew
    images = render.render_set(drawn, seed, split)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.stem}.{os.getpid()}.npy")
        np.save(partial, images)
        partial.replace(path)
    except OSError:
        pass  # a cache only
    return images
