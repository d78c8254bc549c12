"""Aggressive random augmentation without crops, for whole batches at once.

Signs are read by shape, color and direction: nothing here mirrors an image or turns it far, and at 32x32 a crop would
cut the sign itself, so the image is only moved, turned, scaled and sheared a little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random geometry, light and damage; each image of a batch draws its own. Zero switches a part off."""

    rotation: float = 15.0
    """Largest turn, in degrees."""
    scale: float = 0.15
    """Scale is drawn from 1 - scale to 1 + scale."""
    shear: float = 0.15
    translation: float = 0.1
    """Largest move, as a share of the image's side."""
    brightness: float = 0.5
    """Pixels are multiplied by exp(-brightness) to exp(brightness): an offset would wipe out dark images."""
    contrast: float = 0.4
    saturation: float = 0.4
    gamma: float = 0.4
    """Exponent is drawn from exp(-gamma) to exp(gamma)."""
    blur: float = 0.2
    """Share of images that are blurred."""
    noise: float = 0.03
    """Largest standard deviation of Gaussian noise."""
    erasing: float = 0.2
    """Share of images in which a small rectangle is overwritten."""
    cutout: float = 0.0
    """Side of the square that is grayed out in every image, as a share of the image's side (DeVries & Taylor 2017,
    arXiv 1708.04552). `of_strength` leaves it out."""

    @classmethod
    def of_strength(cls, strength: float) -> Self:
        """Every part at `strength` times its full range: 1 is the default, 0 changes nothing.

        Raises:
            UsageError: the strength is outside 0 to 2.
        """
        if not 0 <= strength <= 2:
            raise UsageError(f"augmentation strength is {strength}; give 0 (none) to 2, 1 being the full one")
        full = cls()
        return cls(**{part.name: strength * getattr(full, part.name) for part in fields(cls)})

    def __call__(self, images: Tensor) -> Tensor:
        """Augmented copies of float images [n,C,H,W] in [0,1], on their device, in [0,1]."""
        images = self._move(images)
        images = self._light(images)
        if self.blur:
            images = _blur(images, self.blur)
        if self.noise:
            strength = torch.rand(len(images), 1, 1, 1, device=images.device) * self.noise
            images = images + torch.randn_like(images) * strength
        if self.erasing:
            images = _erase(images, self.erasing)
        if self.cutout:
            images = _cut_out(images, self.cutout)
        return images.clamp_(0, 1)

    def _move(self, images: Tensor) -> Tensor:
        def draw() -> Tensor:
            return torch.rand(len(images), device=images.device) * 2 - 1

        angle = draw() * math.radians(self.rotation)
        inverse_scale = 1 / (1 + draw() * self.scale)
        shear_x, shear_y = draw() * self.shear, draw() * self.shear
        cos, sin = angle.cos() * inverse_scale, angle.sin() * inverse_scale
        # The grid is 2 wide, hence the factor on the translation.
        first = torch.stack([cos, shear_x - sin, 2 * self.translation * draw()], dim=1)
        second = torch.stack([sin + shear_y, cos, 2 * self.translation * draw()], dim=1)
        grid = F.affine_grid(torch.stack([first, second], dim=1), list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)

    def _light(self, images: Tensor) -> Tensor:
        def draw(width: float) -> Tensor:
            return (torch.rand(len(images), 1, 1, 1, device=images.device) * 2 - 1) * width

        if self.gamma:
            images = images.clamp(1e-4, 1).pow_(draw(self.gamma).exp_())
        if self.saturation and images.shape[1] == 3:
            gray = images.mean(dim=1, keepdim=True)
            images = torch.lerp(gray, images, 1 + draw(self.saturation))
        if self.contrast:
            mean = images.mean(dim=(1, 2, 3), keepdim=True)
            images = torch.lerp(mean, images, 1 + draw(self.contrast))
        if self.brightness:
            images = images * draw(self.brightness).exp_()
        return images.clamp_(0, 1)


def _blur(images: Tensor, share: float) -> Tensor:
    rows = (torch.rand(len(images), device=images.device) < share).nonzero().squeeze(1)
    if not len(rows):
        return images
    weights = torch.tensor([0.25, 0.5, 0.25], device=images.device, dtype=images.dtype)
    kernel = torch.outer(weights, weights).expand(images.shape[1], 1, 3, 3)
    padded = F.pad(images[rows], (1, 1, 1, 1), mode="replicate")
    return images.index_copy(0, rows, F.conv2d(padded, kernel, groups=images.shape[1]))


def _cut_out(images: Tensor, side: float) -> Tensor:
    """A square of `side` image sides, centered anywhere in the image and so partly outside at times, becomes gray."""
    n, _, height, width = images.shape

    def span(length: int) -> Tensor:
        cut = max(1, round(side * length))
        start = torch.randint(0, length, (n, 1), device=images.device) - cut // 2
        at = torch.arange(length, device=images.device)
        return (at >= start) & (at < start + cut)

    inside = span(height)[:, None, :, None] & span(width)[:, None, None, :]
    return images.masked_fill(inside, 0.5)


def _erase(images: Tensor, share: float) -> Tensor:
    """Overwrite a rectangle of an eighth to a third of each side with one random color."""
    n, channels, height, width = images.shape

    def span(side: int) -> Tensor:
        length = side * (0.125 + 0.2 * torch.rand(n, 1, device=images.device))
        start = torch.rand(n, 1, device=images.device) * (side - length)
        at = torch.arange(side, device=images.device)
        return (at >= start) & (at < start + length)

    chosen = torch.rand(n, 1, 1, 1, device=images.device) < share
    inside = span(height)[:, None, :, None] & span(width)[:, None, None, :] & chosen
    color = torch.rand(n, channels, 1, 1, device=images.device, dtype=images.dtype)
    return torch.where(inside, color, images)
