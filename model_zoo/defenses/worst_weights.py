"""Adversarial weight perturbation (Wu et al., "Adversarial Weight Perturbation Helps Robust Generalization", 2020)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

Call = Callable[[Tensor], Tensor]
"""Images to logits, as a model is called."""


def worst_weights(model: nn.Module, loss: Callable[[Call], Tensor], size: float) -> Call:
    """`model` with each matrix and kernel moved by `size` of its own norm, along the gradient of `loss`.

    The moved weights are a constant away from the model's, so a loss of the returned call gives the model the gradients
    at the worse weights. Finding them leaves no trace in the model: its buffers are copied for that pass.

    Args:
        model: Called once by `loss` with the weights as they are.
        loss: Scalar of one batch, given how to call the model.
        size: The paper's gamma, such as 0.005.
    """
    weights = {name: p for name, p in model.named_parameters() if p.ndim > 1 and p.requires_grad}
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    value = loss(lambda images: functional_call(model, buffers, (images,)))
    gradients = torch.autograd.grad(value, list(weights.values()))
    moved = {}
    for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
        length = size * weight.detach().norm() / gradient.norm().clamp_min(1e-12)
        moved[name] = weight + length * gradient
    return lambda images: functional_call(model, moved, (images,))
