"""CIFAR-10 and MNIST through torchvision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from harness.base.machine import cache_folder
from harness.errors import BadData
from harness.types import DataRequest
from model_zoo.datasets.base import SPLIT_SEED, ArrayDataset, refuse_argument

VALIDATION_ROWS = 5000


def cifar10(request: DataRequest) -> ArrayDataset:
    """CIFAR-10 (Krizhevsky, 2009): 32x32 RGB, ten classes; 5,000 of the 50,000 training images are ``val``."""
    return _load("CIFAR10", "cifar10", request)


def mnist(request: DataRequest) -> ArrayDataset:
    """MNIST (LeCun et al., 1998): 28x28 gray, ten digits; 5,000 of the 60,000 training images are ``val``."""
    return _load("MNIST", "mnist", request)


def _load(class_name: str, name: str, request: DataRequest) -> ArrayDataset:
    refuse_argument(name, request)
    from torchvision import datasets

    root = request.root or cache_folder()
    train = request.split != "test"
    kind: Any = getattr(datasets, class_name)
    try:
        Path(root).mkdir(parents=True, exist_ok=True)
        official = kind(str(root), train=train, download=True)
    except Exception as error:  # network, disk or a damaged archive: all the same to the user
        raise BadData(
            f"{name} is not under {root} and cannot be downloaded ({type(error).__name__}: {error});"
            " give --data-root or HARNESS_DATA a folder that holds it"
        ) from error
    images, labels = np.asarray(official.data, dtype=np.uint8), np.asarray(official.targets, dtype=np.int64)
    if images.ndim == 3:
        images = images[..., None]
    if train:
        order = np.random.default_rng(SPLIT_SEED).permutation(len(images))
        rows = np.sort(order[:VALIDATION_ROWS] if request.split == "val" else order[VALIDATION_ROWS:])
        images, labels = images[rows], labels[rows]
    return ArrayDataset(f"{name}-{request.split}", images, labels, [str(c) for c in official.classes])
