"""Adaptations of the answer: logits scaled, averaged over draws, as a margin, or without a gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor, nn

from harness.adaptation import Answers, BaseAdaptation
from harness.base.text import whole_number
from harness.errors import BadSuite
from harness.measure.adapted.modules import positive

OTHERS = 30.0
"""How far below the second logit `Margin` puts the others: exp(-30) of a share is lost in float32."""
MOST_DRAWS = 1000


class Changed(Answers):
    """A network whose logits go through a function."""

    def __init__(self, network: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__(network)
        self.change = change

    def forward(self, images: Tensor) -> Tensor:
        """Changed logits [n,K] of `images` [n,C,H,W]."""
        return self.change(super().forward(images))


@dataclass(frozen=True)
class Temperature(BaseAdaptation):
    """Logits divided by a number: above 1 it unsaturates the softmax in an attack's loss."""

    name = "temperature"
    alters = False
    takes = "a number above 0"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self.argument, self.text, "a number above 0, by which logits are divided")

    def apply(self, network: nn.Module) -> nn.Module:
        """Wraps the network."""
        divisor = float(self.argument)
        return Changed(network, lambda logits: logits / divisor)


@dataclass(frozen=True)
class Margin(BaseAdaptation):
    """Logits by which every loss on logits grows with the margin and never saturates; see `margin_logits`."""

    name = "margin"
    alters = False

    def apply(self, network: nn.Module) -> nn.Module:
        """Wraps the network."""
        return Changed(network, margin_logits)


def margin_logits(logits: Tensor) -> Tensor:
    """Logits [n,K] with the same best two classes, whose lead is ``asinh(lead) / 4``, and all others far below.

    Cross-entropy then falls with the lead alone, like its fourth root rather than its exponential, so that it tells
    leads of 1e6 apart in float32, and its gradient is that of the difference of the two logits: for a sample that still
    stands it is the loss of Carlini and Wagner (2017, arXiv:1608.04644), for tools that only know cross-entropy.
    """
    best, places = logits.topk(2, dim=1)
    lead = torch.asinh(best[:, :1] - best[:, 1:]) / 4
    out = torch.full_like(logits, -OTHERS)
    return out.scatter(1, places, torch.cat([lead, torch.zeros_like(lead)], 1))


class _Mean(Answers):
    def __init__(self, network: nn.Module, draws: int) -> None:
        super().__init__(network)
        self.draws = draws

    def forward(self, images: Tensor) -> Tensor:
        several = (super(_Mean, self).forward(images) for _ in range(self.draws))
        return reduce(torch.add, several) / self.draws


@dataclass(frozen=True)
class Average(BaseAdaptation):
    """Mean logits over several draws of a randomized model: expectation over transformation (arXiv:1707.07397).

    A query is a candidate where the mean is wrong. Asking the reference about every one would be a draw more for each.
    """

    name = "average"
    alters = False
    takes = "the number of draws"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= (whole_number(self.argument) or 0) <= MOST_DRAWS:
            raise BadSuite(f"adaptation {self.text!r:.120} needs a number of draws from 2 to {MOST_DRAWS}")

    def apply(self, network: nn.Module) -> nn.Module:
        """Wraps the network."""
        return _Mean(network, int(self.argument))


class _Blind(Answers):
    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            return super().forward(images)


@dataclass(frozen=True)
class Scores(BaseAdaptation):
    """The model as it is, and without a gradient: for attacks that only ask."""

    name = "scores"
    alters = False

    def apply(self, network: nn.Module) -> nn.Module:
        """Wraps the network."""
        return _Blind(network)
