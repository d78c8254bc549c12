"""A defense: training on noisy images (which defends little)."""

from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy

from model_zoo.defenses.base import Defense


@dataclass(frozen=True)
class Noise(Defense):
    """Cross-entropy on images with uniform noise."""

    width: float = 8 / 255

    def loss(self, model, images, labels):
        """See `Defense.loss`."""
        noisy = images + self.width * (2 * torch.rand_like(images) - 1)
        return cross_entropy(model(noisy.clamp(0, 1)), labels)
