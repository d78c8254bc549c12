"""A small classifier, a small data set and a training context, for the tests of contrastive pre-training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from harness.types import ModelCard
from model_zoo.datasets.base import ArrayDataset
from model_zoo.defenses.base import TrainingContext
from model_zoo.training.augment import Augmentation
from model_zoo.training.loop import Settings
from model_zoo.training.progress import Progress

SETTINGS = Settings(epochs=1, batch_size=8, lr=1e-2, checkpoint_seconds=0.0, seed=3)


def classifier(seed: int = 0) -> nn.Sequential:
    """Three classes; the last linear layer is at path 8."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    )


def colors(n: int = 26) -> ArrayDataset:
    """Three classes of 8x8 images, each with its color."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    images = rng.integers(0, 60, (n, 8, 8, 3), dtype=np.uint8)
    images[np.arange(n), :, :, labels] += 150
    return ArrayDataset("colors", images, labels, ["red", "green", "blue"])


def context(output: Path, settings: Settings = SETTINGS, **changes: object) -> TrainingContext:
    """What a training of `classifier` on `colors` would hand to `Defense.prepare`."""
    card = ModelCard("mine", "a2s", "small", 3, (3, 8, 8))
    made = TrainingContext(colors(), settings, Augmentation(), output, Progress(None), "f", card, None)
    return replace(made, **changes)  # type: ignore[arg-type]
