"""Contrastive losses of pytorch-metric-learning on two views of a batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from harness.base.installing import check_installed

ContrastiveLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""``loss(first, second, labels)``: embeddings [n,d] of two views of n images, and the labels of these images."""


def contrastive_loss(supervised: bool, temperature: float) -> ContrastiveLoss:
    """SupCon (Khosla et al., 2020) if `supervised`, else NT-Xent (Chen et al., SimCLR, 2020).

    Both compare cosine similarities of all 2n embeddings, divided by `temperature`. What an embedding is pulled to is
    its other view with NT-Xent, all embeddings of its class with SupCon; it is pushed from all others.

    NT-Xent is computed as SupCon with a class for each image, which is the same: the one positive of an embedding is
    its other view. The library's own class of that name lists all pairs of pairs, which takes a hundred times as long.

    Raises:
        MissingPackage: pytorch-metric-learning is not installed.
    """
    check_installed("pytorch_metric_learning", "contrastive", "contrastive pre-training")
    # Imported here: it takes seconds, and only pre-training needs it.
    from pytorch_metric_learning.losses import SupConLoss
    from pytorch_metric_learning.reducers import MeanReducer

    # Every embedding has a positive, so all count; the library's default would leave out losses of exactly 0.
    function = SupConLoss(temperature=temperature, reducer=MeanReducer())

    def loss(first: Tensor, second: Tensor, labels: Tensor) -> Tensor:
        groups = labels if supervised else torch.arange(len(labels), device=labels.device)
        # Divided by a small temperature, similarities rounded to bfloat16 would be off by tenths.
        with torch.autocast(first.device.type, enabled=False):
            value: Tensor = function(torch.cat([first, second]).float(), groups.repeat(2))
        return value

    return loss
