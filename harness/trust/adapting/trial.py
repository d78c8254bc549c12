"""A short attack through an adapted copy, judged by the reference: how far its gradients lead."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.base.randomness import forked
from harness.inputs.reference import ReferenceModel, margins, usual_range
from harness.types import Norm

STEPS = 5
SEED = 19


@dataclass(frozen=True, order=True)
class Score:
    """What a trial brought; the larger the better."""

    broken: int
    gain: float
    """Mean margin gained, as a share of the usual range of the logits; each image's at most 1."""


@dataclass(frozen=True)
class Trial:
    """Images that stand, and the ball in which they are tried.

    Attributes:
        reference: The entered reference.
        images: [n,C,H,W], on its device.
        labels: int64 [n].
        norm: Norm of the ball.
        epsilon: Its radius.
    """

    reference: ReferenceModel
    images: Tensor
    labels: Tensor
    norm: Norm
    epsilon: float

    def of(self, network: nn.Module) -> Score | None:
        """The score of a few steps on the margin from a random start; None where the network has no gradient."""
        with forked(SEED), torch.enable_grad():
            here = self._inside(self.images + self.epsilon * (2 * torch.rand_like(self.images) - 1))
            for _ in range(STEPS):
                here = here.detach().requires_grad_()
                try:
                    value = margins(network(here), self.labels).sum()
                    (gradient,) = torch.autograd.grad(value, here)
                except RuntimeError:
                    return None
                here = self._inside(here + 0.5 * self.epsilon * self._direction(gradient.nan_to_num(0, 0, 0)))
        logits, before = self.reference.logits(here.detach()), self.reference.logits(self.images)
        after, usual = margins(logits, self.labels), max(usual_range(before), 1e-12)
        gain = ((after - margins(before, self.labels)) / usual).clamp(-1, 1)
        return Score(int((after > 0).sum()), round(float(gain.mean()), 6))

    def _direction(self, gradient: Tensor) -> Tensor:
        if self.norm == "linf":
            return gradient.sign()
        return gradient / self._length(gradient).clamp_min(1e-12)

    def _inside(self, images: Tensor) -> Tensor:
        delta = images.detach() - self.images
        if self.norm == "linf":
            delta = delta.clamp(-self.epsilon, self.epsilon)
        else:
            delta = delta * (self.epsilon / self._length(delta).clamp_min(self.epsilon))
        return (self.images + delta).clamp(0, 1)

    def _length(self, values: Tensor) -> Tensor:
        order = 1 if self.norm == "l1" else 2
        length: Tensor = values.flatten(1).norm(order, dim=1).view(-1, *[1] * (values.ndim - 1))
        return length
