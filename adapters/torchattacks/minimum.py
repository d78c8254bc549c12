"""Minimum-norm attacks of torchattacks: they know no epsilon, and are judged at every epsilon of the grid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from adapters.common import TARGETED
from adapters.torchattacks.base import TorchAttack
from harness.types import Problem

if TYPE_CHECKING:
    from torch import Tensor, nn

EDGE = 1e-3
"""How far pixels at 0 and 1 are moved inwards before CW: a quarter of an 8-bit step."""


class CW(TorchAttack):
    """Carlini and Wagner's l2 attack with one fixed constant `c` (arXiv:1608.04644)."""

    tool_class = "CW"
    kind = "minimum"
    norms = ("l2",)
    renamed: ClassVar[Mapping[str, str]] = {**TorchAttack.renamed, "confidence": "kappa"}
    plumbing = ()
    strength: ClassVar[Mapping[str, Any]] = {"c": float, "confidence": float, "steps": int, "learning_rate": float}
    options = TARGETED
    caveats = (
        "no search for c: the tool leaves it out",
        "stops when the loss of the whole batch rises, so a sample's result depends on its batch",
        "run on logits shifted to be positive and pixels kept 0.001 off 0 and 1: on others the tool does nothing",
    )

    def shield(self, model: nn.Module, problem: Problem) -> nn.Module:
        """The model with its logits shifted: the tool's loss is blind to negative ones."""
        from adapters.shield import PositiveLogits

        return PositiveLogits(model, problem.images.device)

    def start(self, images: Tensor) -> Tensor:
        """Images off the edge of the box, where the tool's change of variables is infinite and nothing moves."""
        return images.clamp(EDGE, 1 - EDGE)


class DeepFool(TorchAttack):
    """DeepFool: steps to the nearest linearized boundary (arXiv:1511.04599)."""

    tool_class = "DeepFool"
    kind = "minimum"
    norms = ("l2",)
    plumbing = ()
    strength: ClassVar[Mapping[str, Any]] = {"steps": int, "overshoot": float}
    one_by_one = True
    caveats = ("one image at a time, one backward pass a class and step: slow",)
