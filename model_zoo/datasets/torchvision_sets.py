"""CIFAR-10 and MNIST through torchvision; their test splits need their test files only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from harness.base.folders import cache_folder
from harness.errors import BadData
from harness.types import DataRequest
from model_zoo.datasets.base import SPLIT_SEED, ArrayDataset, refuse_argument
from model_zoo.datasets.downloads import no_empty_folders

VALIDATION_ROWS = 5000
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def cifar10(request: DataRequest) -> ArrayDataset:
    """CIFAR-10 (Krizhevsky, 2009): 32x32 RGB, ten classes; 5,000 of the 50,000 training images are ``val``."""
    return _load("CIFAR10", "cifar10", request)


def mnist(request: DataRequest) -> ArrayDataset:
    """MNIST (LeCun et al., 1998): 28x28 gray, ten digits; 5,000 of the 60,000 training images are ``val``."""
    return _load("MNIST", "mnist", request)


def _load(class_name: str, name: str, request: DataRequest) -> ArrayDataset:
    refuse_argument(name, request)
    from torchvision import datasets

    root = Path(request.root or cache_folder())
    train = request.split != "test"
    kind: Any = getattr(datasets, class_name)
    try:
        with no_empty_folders(root, "MNIST/raw" if class_name == "MNIST" else "."):
            root.mkdir(parents=True, exist_ok=True)
            official = (kind if train else _test_only(kind))(str(root), train=train, download=True)
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


def _test_only(kind: Any) -> Any:
    """The class `kind` of torchvision, content with the files of the test split; its own check wants all of them."""
    if hasattr(kind, "resources"):  # MNIST; its folder is called after the class
        return type(kind.__name__, (kind,), {"resources": [r for r in kind.resources if "t10k" in r[0]]})
    if hasattr(kind, "train_list"):
        return type(kind.__name__, (kind,), {"train_list": [], "_load_meta": _name_classes})
    return kind


def _name_classes(official: Any) -> None:
    official.classes = list(CIFAR10_CLASSES)
