"""Data sets under a corruption: ``gtsrb+fog:3`` is one, for every suite and model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.inputs.corruptions.attack import eight_bits
from harness.inputs.corruptions.kinds import corrupted, load_kind
from harness.inputs.corruptions.names import joined_corruptions, parted_corruptions
from harness.types import Dataset


@dataclass(frozen=True)
class Corrupted:
    """A data set whose every image is corrupted; ids, labels and classes are the source's.

    Raises:
        UnknownName: nobody registers the kind.
        UsageError: no such severity, or images too small to corrupt.
    """

    source: Dataset
    kind: str
    severity: int

    def __post_init__(self) -> None:
        load_kind(self.kind).strength(self.severity, min(self.source.take([0])[0].shape[2:]))

    @property
    def name(self) -> str:
        """``gtsrb-test+fog:3``."""
        return joined_corruptions(self.source.name, [(self.kind, self.severity)])

    @property
    def classes(self) -> Sequence[str]:
        """The source's."""
        return self.source.classes

    def __len__(self) -> int:
        return len(self.source)

    def take(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Images float32 [n,C,H,W] in [0,1], whole 255ths, and labels int64 [n], in the order asked."""
        images, labels = self.source.take(indices)
        found = corrupted(eight_bits(images).numpy(), list(indices), self.kind, self.severity)
        return torch.from_numpy(found).float() / 255, labels

    @property
    def made_by(self) -> str | None:
        """What stands for the images in a slice's hash, where other versions round them otherwise; else None."""
        kind = load_kind(self.kind)
        return None if kind.exact else f"{self.kind}:{self.severity} version {kind.version}"


def under_corruptions(data: Dataset, text: str) -> Dataset:
    """The data set under the corruptions that ``--data`` was given behind its name; raises as `Corrupted`."""
    for kind, severity in parted_corruptions(text)[1]:
        data = Corrupted(data, kind, severity)
    return data
