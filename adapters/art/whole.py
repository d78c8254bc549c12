"""ART's classifier as the adapter needs it. Importing this file imports ART."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from torch import nn


class WholeBatch(PyTorchClassifier):  # type: ignore[misc]  # ART has no types
    """Sends each array in one query, whatever batch size an attack asks for.

    ART predicts in pieces of 128 rows where an attack forgets to pass its batch size on. The observer, which splits
    queries itself, knows every row of a whole query for certain.
    """

    def predict(self, x: np.ndarray, batch_size: int = 128, training_mode: bool = False, **options: Any) -> np.ndarray:
        """Logits, float32 [n,classes]."""
        found: np.ndarray = super().predict(x, batch_size=max(len(x), 1), training_mode=training_mode, **options)
        return found


def make(
    module: nn.Module,
    num_classes: int,
    input_shape: tuple[int, ...],
    device: torch.device | str,
    whole: bool,
) -> PyTorchClassifier:
    """A classifier on `device`, with the settings that ART's defaults get wrong for images in [0,1]."""
    kind = WholeBatch if whole else PyTorchClassifier
    with on(device):
        return kind(
            model=module,
            loss=nn.CrossEntropyLoss(),
            input_shape=input_shape,
            nb_classes=num_classes,
            clip_values=(0.0, 1.0),  # without it nothing is clipped
            device_type="gpu" if torch.device(device).type == "cuda" else "cpu",
        )


def on(device: torch.device | str) -> AbstractContextManager[Any]:
    """ART uses the current CUDA device and no other: make `device` the current one."""
    device = torch.device(device)
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
