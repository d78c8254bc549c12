"""What a Python user has at hand, a module and tensors or a loader, as the model and the data set the core measures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler

from harness.errors import BadData, ModelRefused, UsageError
from harness.inputs.find import find_data, find_model
from harness.inputs.labels import as_labels
from harness.inputs.outputs import answer, fitted, with_logits
from harness.inputs.pixels import as_floats, layout_of
from harness.types import Dataset, LoadedModel

EXPECTED = "float32 [n,C,H,W] in [0,1]"
ModelLike = nn.Module | LoadedModel | str | Path
"""A module, a loaded model, or what ``--model`` takes."""
DataLike = str | Path | Dataset | tuple[Any, Any] | Iterable[Any]
"""What ``--data`` takes, a data set, ``(images, labels)``, or a loader of such batches."""


@dataclass
class Tensors:
    """Images float32 [n,C,H,W] in [0,1] and labels [n] in memory, as a data set."""

    images: Tensor
    labels: Tensor
    name: str
    classes: Sequence[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """See `harness.types.Dataset`."""
        rows = torch.as_tensor(list(indices), dtype=torch.int64)
        return self.images[rows], self.labels[rows]


@dataclass
class Samples:
    """A map-style torch data set, read when a sample is wanted, so that it need not fit into memory."""

    samples: Any
    collate: Callable[[list[Any]], Any]
    name: str
    classes: Sequence[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.samples)

    def take(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """See `harness.types.Dataset`."""
        return _pair(self.collate([self.samples[int(index)] for index in indices]), self.name)


def as_data(data: DataLike, name: str | None = None, root: Path | None = None) -> Dataset:
    """`data` as a data set; tensors and loaders have no class names yet, see `name_classes`.

    A `DataLoader` in order or shuffled is read through its data set, so that samples keep their numbers; one with a
    sampler of its own, or any other iterable of ``(images, labels)``, is read once into memory. `root` is for data sets
    by name, as `find_data` has it.

    Raises:
        UsageError: not a kind of data this function knows.
        BadData: images are no float32 [n,C,H,W], labels do not fit them, or there are none.
    """
    if isinstance(data, str | Path):
        return find_data(str(data), root)
    if root is not None:
        raise UsageError(f"data_root {str(root)!r} is for data sets by name; the data given is a {type(data).__name__}")
    found = _as_data(data, name)
    if not len(found):
        raise BadData(f"data {found.name!r} has no samples")
    return found


def _as_data(data: Dataset | tuple[Any, Any] | Iterable[Any], name: str | None) -> Dataset:
    if isinstance(data, Dataset):
        return data
    if isinstance(data, tuple) and len(data) == 2:
        return _tensors([data], name or "tensors")
    if isinstance(data, DataLoader):
        kind = name or type(data.dataset).__name__
        whole = isinstance(data.sampler, SequentialSampler) or (
            isinstance(data.sampler, RandomSampler)
            and not data.sampler.replacement
            and data.sampler.num_samples == len(data.sampler.data_source)
        )
        if whole and data.batch_sampler is not None and not data.drop_last and data.collate_fn is not None:
            return Samples(data.dataset, data.collate_fn, kind)
        return _tensors(data, kind)
    if isinstance(data, Iterable):
        return _tensors(data, name or "batches")
    raise UsageError(
        f"data is a {type(data).__name__}; give the name of a data set, (images, labels), or a"
        " DataLoader of such batches"
    )


def _tensors(batches: Iterable[Any], name: str) -> Tensors:
    pairs = [_pair(batch, name) for batch in batches]
    if not pairs:
        raise BadData(f"data {name!r} has no samples")
    return Tensors(torch.cat([images for images, _ in pairs]), torch.cat([labels for _, labels in pairs]), name)


def _pair(batch: Any, name: str) -> tuple[Tensor, Tensor]:
    """One batch as images float32 [n,C,H,W] and labels int64 [n], on the CPU; see `as_labels`.

    Images of uint8 are taken as files with arrays are, see `layout_of`: [n,C,H,W], [n,H,W,C] or [n,H,W] from 0 to 255.
    """
    try:
        images, labels = (torch.as_tensor(part).detach().cpu() for part in batch)
    except (TypeError, ValueError, RuntimeError):
        raise BadData(f"data {name!r} gives {type(batch).__name__}; expected pairs (images, labels)") from None
    if images.dtype == torch.uint8:  # as pictures come; a white of 255 is beyond doubt
        array = images.numpy()
        images = as_floats(array, layout_of(array, f"images of data {name!r}", None, f"give {EXPECTED}"), 255.0)
    if images.dtype not in (torch.float32, torch.float64) or images.ndim != 4:
        raise BadData(f"images of data {name!r} are {tuple(images.shape)} {images.dtype}; expected {EXPECTED}")
    numbers, _ = as_labels(labels.numpy(), len(images), f"labels of data {name!r}")
    return images.float(), torch.from_numpy(numbers)


def as_model(model: ModelLike, data: Dataset, name: str | None = None) -> LoadedModel:
    """`model` ready to be measured, called `name` if there is one; of a module the class count is read from an answer.

    Raises:
        UsageError: no kind of model.
        ModelRefused: the module fails on an image of `data`, or there are no plain logits [1,K] in what it returns.
    """
    if isinstance(model, str | Path):
        model = find_model(str(model))
    if isinstance(model, LoadedModel):
        return fitted(model if name is None else replace(model, name=name), data)
    if not isinstance(model, nn.Module):
        raise UsageError(
            f"model is a {type(model).__name__}; give a torch.nn.Module or what --model takes (a function can be"
            " called in the forward method of a module)"
        )
    image = data.take([0])[0][:1]
    called = name or type(model).__name__
    try:
        output = answer(model, image)
    except Exception as error:  # whatever a stranger's forward raises
        raise ModelRefused(
            f"model {called!r} fails on an image {tuple(image.shape)}: {type(error).__name__}: {error}"
        ) from error
    channels, height, width = image.shape[1:]
    return with_logits(LoadedModel(called, model, 0, (channels, height, width), guessed=True), output, data)


def name_classes(data: Dataset, count: int) -> None:
    """Give wrapped data as many classes as the model has; labels beyond them are reported by the doctor."""
    if isinstance(data, Tensors | Samples) and not data.classes:
        highest = int(data.labels.max()) + 1 if isinstance(data, Tensors) else 0
        data.classes = [str(label) for label in range(max(count, highest))]
