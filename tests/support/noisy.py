"""Randomized models whose answers are known in closed form."""

import math
import random

import numpy as np
import torch
from torch import Tensor, nn
from toys import Linear


class Noisy(nn.Module):
    """`toys.Linear`, its second logit moved by normal noise: wrong with probability P(noise > lead)."""

    def __init__(self, scale: float, per_call: bool = False) -> None:
        super().__init__()
        self.net, self.scale, self.per_call = Linear(), scale, per_call

    def forward(self, images: Tensor) -> Tensor:
        out = self.net(images)
        noise = torch.randn(1, dtype=out.dtype) if self.per_call else torch.randn(len(out), dtype=out.dtype)
        return out + torch.stack([torch.zeros_like(noise), self.scale * noise], 1)

    def wrong(self, images: Tensor, labels: Tensor) -> np.ndarray:
        """Probability, float64 [n], that a draw of each image is wrong: by the law of the noise."""
        with torch.no_grad():
            score = self.net(images)[:, 1].double().numpy()
        lead = np.where(labels.numpy() == 1, score, -score)
        return np.array([0.5 * math.erfc(one / self.scale / math.sqrt(2)) for one in lead])


class Dice(nn.Module):
    """Three logits, of which torch's, numpy's and Python's generators have a part each."""

    def forward(self, images: Tensor) -> Tensor:
        out = torch.zeros(len(images), 3)
        out[:, 0] = torch.rand(len(images))
        out[:, 1] = torch.from_numpy(np.random.rand(len(images))).float()
        out[:, 2] = random.random()
        return out + 0 * images.flatten(1).sum(1, keepdim=True)


class Dropping(nn.Module):
    """A small network with dropout that is never switched off, as in Monte Carlo dropout."""

    def __init__(self, body: nn.Module, head: nn.Module, share: float) -> None:
        super().__init__()
        self.body, self.head, self.share = body, head, share

    def forward(self, images: Tensor) -> Tensor:
        return self.head(nn.functional.dropout(self.body(images), self.share, training=True))
