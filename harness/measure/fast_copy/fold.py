"""Batch norm folded into the layer before it: with frozen statistics it is a scale and a shift of each channel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@torch.no_grad()
def fold_batch_norm(copy: nn.Module, images: Tensor) -> bool:
    """Fold every batch norm of `copy` that directly follows a convolution or linear layer; in place.

    Which follows which is watched in one forward pass, so the order of the module's attributes does not matter. Layers
    that run more than once, and batch norms without fixed statistics, are left alone. A layer whose output is also used
    beside the batch norm cannot be told apart here: the copy's logits and gradients must be compared afterwards, as
    `harness.measure.fast_copy.copies.prepare` does.

    Args:
        copy: A copy of a model, in eval mode; becomes the same function up to rounding.
        images: A few inputs, float32 [n,C,H,W].

    Returns:
        Whether anything was folded.
    """
    pairs = _follow(copy, images)
    for layer, norm in pairs:
        scale = torch.rsqrt(norm.running_var.double() + norm.eps)
        if norm.weight is not None:
            scale = scale * norm.weight.double()
        shift = -norm.running_mean.double() * scale
        if norm.bias is not None:
            shift = shift + norm.bias.double()
        if layer.bias is not None:
            shift = shift + layer.bias.double() * scale
        shape = (-1, *[1] * (layer.weight.ndim - 1))
        layer.weight.copy_(layer.weight.double() * scale.view(shape))
        layer.bias = nn.Parameter(shift.to(layer.weight.dtype), requires_grad=False)
    folded = {id(norm) for _, norm in pairs}
    for parent in list(copy.modules()):
        for name, child in parent.named_children():
            if id(child) in folded:
                setattr(parent, name, nn.Identity())
    return bool(pairs)


def _follow(model: nn.Module, images: Tensor) -> list[tuple[Any, Any]]:
    """Pairs of a layer and the batch norm that is given its output, each run exactly once."""
    runs: dict[int, int] = {}
    made_by: list[tuple[Tensor, nn.Module]] = []  # holds the outputs, so that no other tensor gets their identity
    pairs: list[tuple[nn.Module, nn.Module]] = []

    def after(layer: nn.Module, _inputs: tuple[Any, ...], output: Tensor) -> None:
        runs[id(layer)] = runs.get(id(layer), 0) + 1
        made_by.append((output, layer))

    def before(norm: nn.Module, inputs: tuple[Any, ...]) -> None:
        runs[id(norm)] = runs.get(id(norm), 0) + 1
        for output, layer in made_by:
            if inputs and inputs[0] is output:
                pairs.append((layer, norm))

    handles: list[RemovableHandle] = []
    try:
        for module in model.modules():
            if isinstance(module, _LAYERS):
                handles.append(module.register_forward_hook(after))
            elif isinstance(module, _NORMS) and module.running_mean is not None and module.running_var is not None:
                handles.append(module.register_forward_pre_hook(before))
        model(images)
    finally:
        for handle in handles:
            handle.remove()
    layers, norms = ([id(pair[i]) for pair in pairs] for i in (0, 1))
    return [
        pair
        for pair, layer, norm in zip(pairs, layers, norms, strict=True)
        if runs[layer] == runs[norm] == layers.count(layer) == norms.count(norm) == 1
    ]
