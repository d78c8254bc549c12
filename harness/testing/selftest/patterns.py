"""The self-test's own images, drawn from a seed: six smooth patterns in colors of their own, under noise.

Contrast is low, so that 8/255 is a large perturbation for a network that was not trained against it and a small one for
a network that was: without defense it keeps nearly nothing at 8/255, adversarially trained about two thirds.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

SHAPE = (3, 16, 16)
CLASSES = 6
CONTRAST, NOISE = 0.05, 0.04


class Patterns:
    """Eight-bit images float32 [n,3,16,16] in [0,1] with labels; classes come equally often.

    Args:
        n: Number of images.
        seed: Of everything but the patterns themselves, which are always the same.
        classes: Only the first so many of the six.
        mislabeled: Share of the images that get another label than theirs.
    """

    name = "patterns"

    def __init__(self, n: int, seed: int, classes: int = CLASSES, mislabeled: float = 0.0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.classes: Sequence[str] = [f"pattern {index}" for index in range(classes)]
        labels = torch.arange(n) % classes
        contrast = CONTRAST * (0.6 + 0.8 * torch.rand(n, 1, 1, 1, generator=generator))
        light = 0.5 + 0.04 * (torch.rand(n, 3, 1, 1, generator=generator) - 0.5)
        moves = torch.randint(-1, 2, (n, 2), generator=generator).tolist()
        drawn = patterns()[labels]
        moved = torch.stack([one.roll(tuple(move), (1, 2)) for one, move in zip(drawn, moves, strict=True)])
        images = light + contrast * moved + NOISE * torch.randn(n, *SHAPE, generator=generator)
        self.images = (images.clamp(0, 1) * 255).round() / 255
        wrong = torch.rand(n, generator=generator) < mislabeled
        self.labels = torch.where(wrong, (labels + 1) % classes, labels)

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Images and labels in the order asked."""
        rows = list(indices)
        return self.images[rows], self.labels[rows]


def patterns() -> Tensor:
    """The six patterns, float32 [6,3,16,16], each with mean square 1."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(CLASSES, 3, 4, 4, generator=generator) + torch.randn(CLASSES, 3, 1, 1, generator=generator)
    smooth = interpolate(coarse, size=SHAPE[1:], mode="bicubic", align_corners=False)
    scaled: Tensor = smooth / smooth.flatten(1).square().mean(1).sqrt().view(-1, 1, 1, 1)
    return scaled
