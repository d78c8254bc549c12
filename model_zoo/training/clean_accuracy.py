"""Clean accuracy of a model on a data set, for the claims of its card."""

from __future__ import annotations

import torch
from torch import nn

from harness.base.torch_state import eval_mode
from harness.types import Dataset


def clean_accuracy(model: nn.Module, dataset: Dataset, batch: int = 256) -> tuple[float, int]:
    """Share of `dataset` classified correctly, unperturbed, and its size; the model's mode is put back."""
    device = next(model.parameters()).device
    right = 0
    with eval_mode(model), torch.no_grad():
        for start in range(0, len(dataset), batch):
            images, labels = dataset.take(range(start, min(start + batch, len(dataset))))
            right += int((model(images.to(device)).argmax(dim=1).cpu() == labels).sum())
    return right / max(len(dataset), 1), len(dataset)
