"""Any model as a ready `art.estimators.classification.PyTorchClassifier`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.types import LoadedModel

if TYPE_CHECKING:
    import torch
    from art.estimators.classification import PyTorchClassifier
    from torch import nn


def as_classifier(
    model: LoadedModel | nn.Module,
    *,
    num_classes: int | None = None,
    input_shape: tuple[int, int, int] | None = None,
    device: torch.device | str | None = None,
) -> PyTorchClassifier:
    """Wrap a model for ART: images in [0,1] (clipped to it), logits out, in eval mode, parameters frozen.

    Args:
        model: A loaded model of the zoo, or any module that takes images in [0,1] and returns logits.
        num_classes: Needed for a plain module.
        input_shape: C, H, W; needed where the model does not know it.
        device: Where ART runs the model; default: where the model's parameters are.

    Raises:
        UsageError: `num_classes` or `input_shape` is missing.
    """
    from adapters.art.whole import make

    if isinstance(model, LoadedModel):
        num_classes, input_shape = num_classes or model.num_classes, input_shape or model.input_shape
        module = model.module
    else:
        module = model
    if num_classes is None or input_shape is None:
        missing = "num_classes" if num_classes is None else "input_shape"
        raise UsageError(f"{missing} is unknown for this model; pass {missing}= to as_classifier")
    if device is None:
        device = next((p.device for p in module.parameters()), "cpu")
    module.eval().requires_grad_(False)
    return make(module, num_classes, input_shape, device, whole=False)
