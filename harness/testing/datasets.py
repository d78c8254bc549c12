"""`check_dataset`: what a data set hands out, that it is always the same, and that its splits do not overlap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from harness.errors import HarnessError
from harness.inputs.boxes import boxes_of
from harness.inputs.find import find_data
from harness.inputs.samples import checked, make_slice
from harness.testing.faults import Faults, generators
from harness.types import Boxed, DataRequest, Dataset

LOOKED = 512
"""Samples of each split that are looked at, drawn like those of a run."""


def check_dataset(dataset: str | Callable[[DataRequest], Any], argument: str | None = None) -> None:
    """Hold a data-set plugin to the contract `harness.types.Dataset`.

    Args:
        dataset: The name it is registered as, or the plugin's function.
        argument: What would stand behind the colon on the command line.

    Raises:
        NotConformant: lists every fault.
    """
    name = dataset if isinstance(dataset, str) else getattr(dataset, "__name__", "dataset")

    def make(split: str) -> Any:
        if isinstance(dataset, str):
            return find_data(f"{dataset}:{argument}" if argument else dataset, split=split)
        return dataset(DataRequest(split, None, argument))  # type: ignore[arg-type]  # one of the three

    with Faults(f"data set {name!r}") as faults:
        with faults.running("load", "the function takes a DataRequest and returns a Dataset"):
            test = make("test")
        faults.require(
            isinstance(test, Dataset),
            "contract",
            f"{type(test).__name__} lacks one of name, classes, __len__ and take; see harness.types.Dataset",
        )
        faults.require(len(test) > 0, "contract", "the test split is empty")
        faults.expect(
            len(set(test.classes)) == len(test.classes) >= 2, "classes", "give two or more names, all different"
        )
        with faults.running("samples", "take must give images float32 [n,C,H,W] in [0,1] and labels int64 [n]"):
            part = make_slice(test, min(LOOKED, len(test)), LOOKED)
            images, labels = part.take(0)
        _boxes(faults, test, part.indices, images)
        _always_the_same(faults, test, make)
        _splits(faults, make, images)
        _learnable(faults, test, labels)


def _boxes(faults: Faults, test: Dataset, ids: np.ndarray, images: torch.Tensor) -> None:
    with faults.running("boxes", "boxes, where a set has them, are numbers [n,4] inside each image"):
        if not isinstance(test, Boxed) or test.boxes([0]) is None:
            return
        found = boxes_of(test, ids, images.shape)
        turned = boxes_of(test, ids[::-1], images.shape)
    faults.expect(
        np.array_equal(found, turned[::-1]),
        "boxes",
        "a box depends on its neighbors; boxes(indices)[i] is sample indices[i]",
    )


def _always_the_same(faults: Faults, test: Dataset, make: Callable[[str], Any]) -> None:
    last = len(test) - 1
    before = generators()
    with faults.running("order", "take must take any rows in any order, also twice"):
        images, labels = checked(test, [last, 0, last])
    faults.expect(
        generators() == before, "state", "take draws from a global random generator; draw from your own, by index"
    )
    faults.expect(
        torch.equal(images[0], images[2]), "determinism", "the same index gave two images; no random augmentation"
    )
    with faults.running("order", "take must take any rows in any order"):
        alone = checked(test, [last])
        again = checked(make("test"), [last, 0, last])
    faults.expect(
        torch.equal(alone[0][0], images[0]) and int(alone[1][0]) == int(labels[0]),
        "order",
        "a sample depends on its neighbors; take(indices)[i] is sample indices[i]",
    )
    faults.expect(
        torch.equal(again[0], images) and torch.equal(again[1], labels),
        "determinism",
        "loading the data set again gave other samples; derive everything drawn from request.seed",
    )


def _splits(faults: Faults, make: Callable[[str], Any], images: torch.Tensor) -> None:
    """No image of the test split may be in one that is trained on; splits a data set does not have are skipped."""
    tested = {image.numpy().tobytes() for image in images}
    for split in ("train", "val"):
        try:
            other = make(split)
            part = make_slice(other, min(LOOKED * 4, len(other)), LOOKED * 4)
            trained = part.take(0)[0]
        except HarnessError:
            continue
        except Exception as error:
            faults.expect(
                False,
                "splits",
                f"split {split!r} raised {type(error).__name__}: {error}; raise UsageError if there is none",
            )
            continue
        common = len(tested & {image.numpy().tobytes() for image in trained})
        faults.expect(
            common == 0, "splits", f"{common} images of the test split are in {split!r}, too; split without overlap"
        )


def _learnable(faults: Faults, test: Dataset, labels: torch.Tensor) -> None:
    faults.expect(
        len(labels) < 2 or len(labels.unique()) > 1,
        "labels",
        f"{len(labels)} random samples of {test.name!r} have one label; is the label column the right one?",
    )
