"""Standard training: cross-entropy on the images as they are."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from model_zoo.defenses.base import Defense, require


@dataclass(frozen=True)
class Standard(Defense):
    """No defense: the undefended reference."""

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        require(0 <= self.label_smoothing < 1, f"label_smoothing is {self.label_smoothing}; give 0 to below 1")

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy."""
        return F.cross_entropy(model(images), labels, label_smoothing=self.label_smoothing)
