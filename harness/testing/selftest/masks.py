"""What breaks a model or its evaluation, as modules: put before, after or around a sound network.

Each stands for a defense or a mistake that was published or reported as robustness; for masks of gradients see
Athalye, Carlini and Wagner 2018 (arXiv:1802.00420).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, one_hot, pad

from harness.testing.selftest.patterns import patterns

Change = Callable[[Tensor], Tensor]


class Around(nn.Module):
    """`after(network(before(images)))`."""

    def __init__(self, network: nn.Module, before: Change | None = None, after: Change | None = None) -> None:
        super().__init__()
        self.network, self.before, self.after = network, before, after

    def forward(self, images: Tensor) -> Tensor:
        """Logits, or what takes their place."""
        out: Tensor = self.network(images if self.before is None else self.before(images))
        return out if self.after is None else self.after(out)


class _Backward(torch.autograd.Function):
    """The identity, with a backward pass of one's own."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, change: Change) -> Tensor:
        """The images themselves."""
        ctx.change = change
        return images.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """What `change` makes of the gradient."""
        return ctx.change(gradient), None


def with_gradient(change: Change) -> Change:
    """The identity on images, whose gradient is changed."""

    def unchanged(images: Tensor) -> Tensor:
        out: Tensor = _Backward.apply(images, change)
        return out

    return unchanged


def zeroed(gradient: Tensor) -> Tensor:
    """No gradient."""
    return torch.zeros_like(gradient)


def not_a_number(gradient: Tensor) -> Tensor:
    """NaN for every gradient, as the square root of zero gives."""
    return gradient * torch.nan


def scrambled(gradient: Tensor) -> Tensor:
    """Gradients of the right size that point nowhere."""
    generator = torch.Generator().manual_seed(7)
    noise = torch.randn(gradient.shape, generator=generator).to(gradient)
    scaled: Tensor = noise * gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return scaled


def quantized(images: Tensor) -> Tensor:
    """Sixteen levels of brightness; the gradient of rounding is zero."""
    return (images * 15).round() / 15


def jpeg(images: Tensor, step: float = 0.08) -> Tensor:
    """Blocks of 8x8 pixels through a rounded cosine transform and back, images [n,C,H,W] with sides divisible by 8."""
    n, channels, height, width = images.shape
    basis = cosines().to(images)
    blocks = images.view(n, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    coefficients = basis @ (blocks - 0.5) @ basis.T
    restored = basis.T @ ((coefficients / step).round() * step) @ basis + 0.5
    return restored.transpose(3, 4).reshape(images.shape)


def cosines() -> Tensor:
    """The orthonormal discrete cosine transform of 8 values, [8,8]."""
    k, i = torch.arange(8.0)[:, None], torch.arange(8.0)[None]
    scale = torch.full((8, 1), 0.5)
    scale[0] = math.sqrt(1 / 8)
    return scale * torch.cos(math.pi * (i + 0.5) * k / 8)


def flat_off_the_grid(images: Tensor) -> Tensor:
    """Eight-bit images as they are, everything else rounded to eight bits: no gradient beyond the first step."""
    rounded = (images * 255).round() / 255
    on_grid = ((images - rounded).flatten(1).abs().amax(1) < 1e-5).view(-1, 1, 1, 1)
    return torch.where(on_grid, images, rounded)


class Rippled(nn.Module):
    """A network with ripples on its logits, of a given height and number per unit of summed brightness."""

    def __init__(self, network: nn.Module, ripples: float, height: float) -> None:
        super().__init__()
        self.network, self.ripples, self.height = network, ripples, height

    def forward(self, images: Tensor) -> Tensor:
        """Logits with ripples of another height for each class."""
        logits: Tensor = self.network(images)
        wave = torch.sin(self.ripples * images.double().flatten(1).sum(1, keepdim=True)).float()
        return logits + self.height * wave * torch.arange(logits.shape[1]).to(logits)


class Training(nn.Module):
    """A network that goes back to train mode whenever it predicts, so that batch norm takes the batch's statistics."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Logits, in train mode."""
        self.train()
        logits: Tensor = self.network(images)
        return logits


class Counting(nn.Module):
    """A network whose logits depend on how many queries it has answered."""

    queries: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("queries", torch.zeros(1))

    def forward(self, images: Tensor) -> Tensor:
        """Logits with a bias that grows."""
        self.queries += 1
        logits: Tensor = self.network(images)
        return logits + 1e-3 * self.queries


class Detector(nn.Module):
    """Answers from a lookup table of the patterns where an image is rougher than clean ones are.

    Below the threshold it is the undefended network, and larger perturbations give no gradient: the ball of 8/255 looks
    safe, while the smaller ball inside it is not.
    """

    def __init__(self, network: nn.Module, threshold: float) -> None:
        super().__init__()
        self.network, self.threshold = network, threshold
        self.register_buffer("known", patterns())

    def forward(self, images: Tensor) -> Tensor:
        """The network's logits, or the lookup's."""
        rough = roughness(images) > self.threshold
        with torch.no_grad():
            alike = torch.einsum("nchw,kchw->nk", images - images.mean((2, 3), keepdim=True), self.known)
            looked_up = 10.0 * one_hot(alike.argmax(1), alike.shape[1])
        logits: Tensor = self.network(images)
        return torch.where(rough[:, None], looked_up, logits)


def roughness(images: Tensor) -> Tensor:
    """Mean distance of each pixel to the mean of its 3x3 neighborhood, [n]."""
    smooth = avg_pool2d(pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return (images - smooth).flatten(1).abs().mean(1)
