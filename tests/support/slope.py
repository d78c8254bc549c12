"""A model whose answers are known by hand, for faults of tools."""

import torch
from torch import nn

EPSILON = 8 / 255


class Slope(nn.Module):
    """Class 1 against class 0 by the mean pixel, with an offset and a scale on all logits."""

    def __init__(self, at=0.5, scale=40.0, offset=0.0, classes=3):
        super().__init__()
        self.at, self.offset, self.classes = at, offset, classes
        self.scale = nn.Parameter(torch.tensor(scale), requires_grad=False)

    def forward(self, images):
        score = self.scale * (images.mean((1, 2, 3)) - self.at)
        rest = [torch.full_like(score, -50.0 - i) for i in range(self.classes - 2)]
        return torch.stack([torch.zeros_like(score), score, *rest], 1) + self.offset


def gray(value, n=2):
    return torch.full((n, 3, 8, 8), value), torch.zeros(n, dtype=torch.int64)
