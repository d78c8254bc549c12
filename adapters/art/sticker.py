"""A patch laid on images where their masks are. Importing this file imports torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.types import Problem


class Sticker(nn.Module):
    """Answers to patches as `model` answers to the problem's clean images under them."""

    def __init__(self, model: nn.Module, problem: Problem) -> None:
        super().__init__()
        self.model, self._problem = model, problem

    def forward(self, canvases: Tensor) -> Tensor:
        """Logits [m,classes] of the first m images under the squares of `canvases` [m,C,H,W]."""
        logits: Tensor = self.model(paste(canvases.float(), self._problem))
        return logits


def paste(canvases: Tensor, problem: Problem) -> Tensor:
    """The first m clean images with the upper left square of each canvas, [m,C,H,W], on their masks; differentiable."""
    assert problem.mask is not None
    clean, mask = problem.images[: len(canvases)], problem.mask[: len(canvases), 0]
    down, right = _from_first(mask.any(2)), _from_first(mask.any(1))
    rows = torch.arange(len(canvases), device=canvases.device)[:, None, None]
    moved = canvases.permute(0, 2, 3, 1)[rows, down[:, :, None], right[:, None, :]].permute(0, 3, 1, 2)
    return torch.where(mask[:, None], moved, clean).clamp(0, 1)


def _from_first(covered: Tensor) -> Tensor:
    """Of places along an axis, bool [m,size]: how far each is behind the first that is covered, at least 0."""
    first = covered.int().argmax(1, keepdim=True)
    return (torch.arange(covered.shape[1], device=covered.device) - first).clamp_min(0)
