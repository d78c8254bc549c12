"""A model: the nearest class mean of rendered signs, shrunk to 8x8."""

from pathlib import Path

import safetensors.torch
from torch import nn

from harness.types import LoadedModel


def means():
    """A linear classifier with its weights beside it."""
    linear = nn.Linear(192, 43)
    linear.load_state_dict(safetensors.torch.load_file(Path(__file__).with_name("means.safetensors")))
    network = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), linear)
    return LoadedModel("example-means", network, 43, (3, 32, 32))
