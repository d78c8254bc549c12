"""The networks under the self-test's examples, a few thousand parameters each, with the weights that ship.

``networks.safetensors`` was written by ``python -m harness.testing.selftest.training``, which trains them again.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from harness.testing.selftest.patterns import CLASSES, SHAPE

FILE = Path(__file__).with_name("networks.safetensors")
MEAN, STD = (0.5, 0.5, 0.5), (0.12, 0.12, 0.12)
"""The normalization that all of them were trained with."""


class Normalize(nn.Module):
    """Images [n,3,H,W] in [0,1] to what the networks were trained on."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """The images, normalized."""
        return (images - self.mean) / self.std


def convolutional(width: int = 8, classes: int = CLASSES) -> nn.Sequential:
    """Two strided convolutions with batch norm, dropout, one linear layer."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, 2, 1), nn.BatchNorm2d(2 * width), nn.ReLU(),
        nn.Flatten(), nn.Dropout(0.2), nn.Linear(2 * width * 16, classes),
    )  # fmt: skip


def perceptron() -> nn.Sequential:
    """One hidden layer of sixteen."""
    pixels = SHAPE[0] * SHAPE[1] * SHAPE[2]
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, 16), nn.GELU(), nn.Linear(16, CLASSES))


def linear() -> nn.Sequential:
    """A linear classifier."""
    return nn.Sequential(nn.Flatten(), nn.Linear(SHAPE[0] * SHAPE[1] * SHAPE[2], CLASSES))


def pair() -> nn.Sequential:
    """A convolutional network for the first two classes."""
    return convolutional(classes=2)


def wide() -> nn.Sequential:
    """A convolutional network of twice the width."""
    return convolutional(width=16)


NETWORKS = {
    "linear": linear,
    "perceptron": perceptron,
    "plain": convolutional,
    "robust": convolutional,
    "overfitted": wide,
    "pair": pair,
}
"""Name of the trained network to its architecture."""


def trained(name: str) -> nn.Sequential:
    """One of `NETWORKS` with its weights, in eval mode; takes *normalized* images."""
    network = NETWORKS[name]()
    prefix = f"{name}/"
    tensors = {key.removeprefix(prefix): value for key, value in load_file(FILE).items() if key.startswith(prefix)}
    network.load_state_dict(tensors)
    return network.eval()
