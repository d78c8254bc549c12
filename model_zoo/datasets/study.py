"""The set ``study``: all of GTSRB and rendered signs, split at random as "Towards Robust Neural Networks" did.

Its 73,000 images are GTSRB's training and test images and as many rendered signs as are missing; 50,000 of them are for
training, 10,000 for validation, 13,000 for testing. Frames of one filmed sign fall on all sides, and most of GTSRB's
official test images are trained on: models of this set are measured on ``study`` (or ``signs``), never on ``gtsrb``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.base.text import whole_number
from harness.errors import UsageError
from harness.types import DataRequest
from model_zoo.datasets.base import SPLIT_SEED, ArrayDataset
from model_zoo.datasets.classes import TRAFFIC_SIGNS
from model_zoo.datasets.gtsrb import gtsrb
from model_zoo.datasets.rendered import signs

TOTAL = 73_000
VAL, TEST = 10 / 73, 13 / 73
"""Shares of all images."""


def study(request: DataRequest) -> ArrayDataset:
    """The split `request.split`: ``study-train``, ``study-val`` or ``study-test``, the same for every seed.

    `request.argument` is the number of rendered signs (``study:1000``) where it is not to be what makes up 73,000.

    Raises:
        UsageError: the argument is no positive whole number.
        BadData: GTSRB is not there; as `model_zoo.datasets.gtsrb.gtsrb`.
    """
    argument = request.argument
    if argument is not None and not 0 < (whole_number(argument) or 0) < TOTAL:
        raise UsageError(f"study:{argument} is no number of rendered signs; write study, or for instance study:1000")
    parts = [gtsrb(replace(request, split=split, argument=None)) for split in ("train", "val", "test")]
    rendered = argument or str(max(1, TOTAL - sum(len(part) for part in parts)))
    parts.append(signs(DataRequest("train", argument=rendered, seed=SPLIT_SEED)))
    ends = np.cumsum([len(part) for part in parts])
    order = np.random.default_rng(SPLIT_SEED).permutation(ends[-1])
    val, test = round(VAL * len(order)), round(TEST * len(order))
    held_out, tested, trained = np.split(order, [val, val + test])
    rows = {"train": trained, "val": held_out, "test": tested}[request.split]
    images = np.concatenate([part.images.numpy() for part in parts])[rows]
    labels = np.concatenate([part.labels.numpy() for part in parts])[rows]
    counts = np.bincount(np.searchsorted(ends, rows, side="right"), minlength=len(parts)).tolist()
    sources = {part.name: count for part, count in zip(parts, counts, strict=True) if count}
    return ArrayDataset(f"study-{request.split}", images, labels, TRAFFIC_SIGNS, sources)
