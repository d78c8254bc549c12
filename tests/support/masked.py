"""Networks with a step in them that hides gradients, as modules with names."""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from toys import Linear, labeled, loaded


class _Hidden(torch.autograd.Function):
    @staticmethod
    def forward(ctx, images):
        return images.clone()

    @staticmethod
    def backward(ctx, gradient):
        return torch.zeros_like(gradient)


class Zeroed(nn.Module):
    """The identity, through which no gradient passes."""

    def forward(self, images: Tensor) -> Tensor:
        return _Hidden.apply(images)


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, values: Tensor) -> Tensor:
        return self.factor * values


def masked(**parts: nn.Module) -> nn.Module:
    """Modules one after the other, by name."""
    return nn.Sequential(OrderedDict(parts)).eval()


def linear_problem(n: int = 48):
    """A linear model with images around the middle, and the distance of each to the boundary in linf, [n]."""
    model = Linear()
    data = labeled(model, n, low=0.35, high=0.65)
    return model, data, model.margin(data.images, "linf")


__all__ = ["Times", "Zeroed", "linear_problem", "loaded", "masked"]
