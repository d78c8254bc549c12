"""Data slices: which samples a run measures, in which order, and a hash that names them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from harness.base.order import fixed_order
from harness.errors import BadData, HarnessError, UsageError
from harness.inputs.corruptions.data import Corrupted
from harness.inputs.ids import IdSet
from harness.types import Dataset


@dataclass(frozen=True)
class Slice:
    """Samples of a data set in the fixed random order: the first n of all, or a set of ids."""

    data: Dataset
    indices: np.ndarray
    chunk: int
    _seen: dict[tuple[int, ...], bytes] = field(default_factory=dict, repr=False, compare=False)
    """Hash of each chunk that was handed out, by its ids: a chunk that is asked for again must be the same."""

    @property
    def chunks(self) -> int:
        """Number of chunks; the last may be shorter."""
        return -(-len(self.indices) // self.chunk)

    def ids(self, index: int) -> np.ndarray:
        """Sample ids of one chunk, int64."""
        return self.indices[index * self.chunk : (index + 1) * self.chunk]

    def take(self, index: int) -> tuple[Tensor, Tensor]:
        """Images and labels of one chunk, checked.

        Raises:
            BadData: images outside [0,1] or not finite, labels that are no class of the data set, or other images than
                the last time.
        """
        ids = self.ids(index)
        images, labels = checked(self.data, ids.tolist())
        digest = hashlib.sha256(_bytes(images))
        digest.update(_bytes(labels))
        if self._seen.setdefault(tuple(ids.tolist()), digest.digest()) != digest.digest():
            raise BadData(
                f"data set {self.data.name!r} gives other images or labels for the same samples when it is asked again;"
                " take random crops, flips and noise out of it, or read it once and give (images, labels)"
            )
        return images, labels

    def digest(self) -> str:
        """``sha256:`` of ids, images and labels, in order: the same only for the same pixels and labels.

        However the slice is cut into chunks; it is read one chunk at a time. Of images that are made by a library whose
        versions round differently, it is of their source and of what makes them.
        """
        if isinstance(self.data, Corrupted) and (made_by := self.data.made_by) is not None:
            source = Slice(self.data.source, self.indices, self.chunk).digest()
            return f"sha256:{hashlib.sha256(f'{source} {made_by}'.encode()).hexdigest()}"
        pixels, classes = hashlib.sha256(), hashlib.sha256()
        for index in range(self.chunks):
            images, labels = self.take(index)
            pixels.update(_bytes(images))
            classes.update(_bytes(labels))
        total = hashlib.sha256(np.ascontiguousarray(self.indices).tobytes())
        total.update(pixels.digest() + classes.digest())
        return f"sha256:{total.hexdigest()}"


def make_slice(data: Dataset, n: int | None, chunk: int, ids: IdSet | None = None) -> Slice:
    """The first `n` samples (all, if None) in the fixed order; or those of `ids`, in that of so many samples.

    Ids are permuted from their ascending order, so that nobody can choose by the order of a file which come first.

    Raises:
        UsageError: n is not between 1 and the size of the data set, an id is not below it, or both are given.
        BadData: the data set is empty.
    """
    size = len(data)
    if size == 0:
        raise BadData(f"data set {data.name!r} has no samples")
    if n is not None and not 1 <= n <= size:
        raise UsageError(f"--n {n} is not between 1 and {size}, the size of data set {data.name!r}")
    if ids is not None:
        if n is not None:
            raise UsageError(f"--n {n} and --ids are two choices of samples; give one of them")
        if ids.ids[-1] >= size:
            raise UsageError(f"--ids: {ids.name!r} holds {ids.ids[-1]}, but data set {data.name!r} has {size} samples")
        return Slice(data, ids.ids[fixed_order(len(ids.ids))], chunk)
    return Slice(data, fixed_order(size)[: n or size], chunk)


def _bytes(tensor: Tensor) -> bytes:
    return tensor.contiguous().numpy().tobytes()


def checked(data: Dataset, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
    """`data.take(indices)`, refused if it breaks the contract; see `Slice.take`."""
    try:
        images, labels = data.take(indices)
    except HarnessError:
        raise
    except Exception as error:  # whatever a stranger's data set raises
        raise BadData(f"data set {data.name!r} failed with {type(error).__name__}: {error}") from error
    if not (isinstance(images, Tensor) and isinstance(labels, Tensor)):
        kinds = f"{type(images).__name__} and {type(labels).__name__}"
        raise BadData(f"data set {data.name!r} gave {kinds}; expected tensors")
    if images.dtype != torch.float32 or images.ndim != 4 or len(images) != len(indices) or len(labels) != len(indices):
        raise BadData(
            f"data set {data.name!r} gave {tuple(images.shape)} {images.dtype} for {len(indices)} samples;"
            " expected float32 [n,C,H,W]"
        )
    if 0 in images.shape[1:]:
        raise BadData(f"data set {data.name!r} gave images of {tuple(images.shape[1:])}: there is no pixel in them")
    if labels.ndim != 1 or labels.is_floating_point() or labels.is_complex():
        raise BadData(
            f"data set {data.name!r} gave labels {tuple(labels.shape)} {labels.dtype}; expected int64 [{len(indices)}]"
        )
    images, labels = images.detach().cpu(), labels.detach().cpu()
    if not len(indices):
        return images, labels.to(torch.int64)
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):  # NaN fails too
        raise BadData(
            f"data set {data.name!r} has pixels from {low:g} to {high:g}, expected [0,1];"
            " normalization belongs inside the model"
        )
    first, last, classes = int(labels.min()), int(labels.max()), len(data.classes)
    if first < 0 or last >= classes:
        from_one = "; do its labels count from 1? subtract 1" if first >= 1 and last == classes else ""
        raise BadData(f"data set {data.name!r} has labels from {first} to {last}, but {classes} classes{from_one}")
    return images, labels.to(torch.int64)


def batches(n: int, size: int) -> Iterator[range]:
    """Consecutive ranges that cover n."""
    for start in range(0, n, size):
        yield range(start, min(start + size, n))
