"""Image sets in memory: uint8 pixels on the shelf, float32 in [0,1] when taken."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.errors import BadData, UsageError
from harness.types import DataRequest, Dataset

SPLIT_SEED = 0
"""Of every draw of validation images from training images: with a training's own seed, one that starts from another
(`--init`) would be validated on what its start was trained on."""


def held_out_rows(n: int) -> NDArray[np.bool_]:
    """Which of `n` rows are validation rows where a set has no split of its own: a tenth, always the same."""
    rows = np.zeros(n, dtype=np.bool_)
    rows[np.random.default_rng(SPLIT_SEED).permutation(n)[: n // 10]] = True
    return rows


def refuse_argument(name: str, request: DataRequest) -> None:
    """For data sets without an argument.

    Raises:
        UsageError: the request has one.
    """
    if request.argument is not None:
        raise UsageError(
            f"data set {name} takes no argument, and {name}:{request.argument} gives it one; write {name}"
            " (harness eval takes fewer samples with --n)"
        )


class ArrayDataset:
    """Labeled uint8 images [N,H,W,C] in memory, as a `harness.types.Dataset`.

    Raises:
        BadData: the arrays do not fit each other, or a label is outside the classes.
    """

    def __init__(
        self,
        name: str,
        images: NDArray[np.uint8],
        labels: NDArray[np.integer],
        classes: Sequence[str],
        sources: Mapping[str, int] | None = None,
        edges: NDArray[np.number] | None = None,
    ) -> None:
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
            raise BadData(
                f"{name}: images are {images.dtype} {images.shape}; expected uint8 [N,H,W,C] with 1 or 3 channels"
            )
        if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
            raise BadData(f"{name}: labels are {labels.dtype} {labels.shape}; expected {len(images)} integers")
        if len(labels) and (labels.min() < 0 or labels.max() >= len(classes)):
            raise BadData(f"{name}: labels run from {labels.min()} to {labels.max()}; there are {len(classes)} classes")
        self.name = name
        self.classes = tuple(classes)
        self.images = torch.from_numpy(np.ascontiguousarray(images))
        self.labels = torch.from_numpy(labels.astype(np.int64))
        self.sources = dict(sources or {})
        """The sets that the images were drawn from, where they have names of their own, with the number of images."""
        if edges is not None and edges.shape != (len(images), 4):
            raise BadData(f"{name}: boxes are {edges.dtype} {edges.shape}; expected [{len(images)},4]")
        self._edges = edges

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Images float32 [n,C,H,W] in [0,1] and labels int64 [n], in the order asked."""
        rows = torch.as_tensor(indices, dtype=torch.int64)
        return self.images[rows].permute(0, 3, 1, 2).float().div_(255).contiguous(), self.labels[rows]

    def boxes(self, indices: Sequence[int]) -> NDArray[np.number] | None:
        """See `harness.types.Boxed`."""
        return None if self._edges is None else self._edges[np.asarray(list(indices), dtype=np.int64)]

    @cached_property
    def sha256(self) -> str:
        """Hash of pixels, labels and shape: what the set *is*, whatever file it came from."""
        digest = hashlib.sha256(repr(tuple(self.images.shape)).encode())
        digest.update(self.images.numpy().tobytes())
        digest.update(self.labels.numpy().tobytes())
        return digest.hexdigest()


class Concatenated:
    """Several sets with the same classes, one after the other.

    Raises:
        UsageError: the sets disagree on the number of classes.
    """

    def __init__(self, parts: Sequence[Dataset]) -> None:
        counts = {part.name: len(part.classes) for part in parts}
        if len(set(counts.values())) != 1:
            raise UsageError(f"data sets trained on together need the same classes; their numbers are {counts}")
        self.parts = list(parts)
        self.name = "+".join(part.name for part in parts)
        self.classes = tuple(parts[0].classes)
        self._ends = torch.tensor([len(part) for part in parts]).cumsum(0)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def take(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Images float32 [n,C,H,W] in [0,1] and labels int64 [n], in the order asked."""
        rows = torch.as_tensor(indices, dtype=torch.int64)
        which = torch.bucketize(rows, self._ends, right=True)
        images: Tensor | None = None
        labels = torch.empty(len(rows), dtype=torch.int64)
        for k, part in enumerate(self.parts):
            mine = (which == k).nonzero().squeeze(1)
            if not len(mine):
                continue
            start = int(self._ends[k]) - len(part)
            x, y = part.take((rows[mine] - start).tolist())
            if images is None:
                images = x.new_empty(len(rows), *x.shape[1:])
            if images.shape[1:] != x.shape[1:]:
                raise UsageError(f"images of {part.name} are {tuple(x.shape[1:])}, others {tuple(images.shape[1:])}")
            images[mine], labels[mine] = x, y
        if images is None:  # nothing asked for: still the right shape
            return self.parts[0].take([])
        return images, labels


def content_hash(dataset: Dataset, batch: int = 4096) -> str:
    """Hash of what `dataset` hands out; cheap for `ArrayDataset`, one pass over the images otherwise."""
    if isinstance(dataset, ArrayDataset):
        return dataset.sha256
    digest = hashlib.sha256()
    for start in range(0, len(dataset), batch):
        images, labels = dataset.take(range(start, min(start + batch, len(dataset))))
        digest.update(images.numpy().tobytes())
        digest.update(labels.numpy().tobytes())
    return digest.hexdigest()
