"""TRADES (Zhang et al., "Theoretically Principled Trade-off between Robustness and Accuracy", 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.base.torch_state import eval_mode
from model_zoo.defenses.base import Defense, check_ball, require
from model_zoo.defenses.inner import perturb
from model_zoo.defenses.worst_weights import Call, worst_weights


def divergence(logits: Tensor, reference: Tensor, reduction: str = "batchmean") -> Tensor:
    """KL(softmax(reference) || softmax(logits)), the sum over classes; mean over rows by default."""
    return F.kl_div(F.log_softmax(logits, dim=1), F.log_softmax(reference, dim=1), reduction=reduction, log_target=True)


@dataclass(frozen=True, kw_only=True)
class TRADES(Defense):
    """Cross-entropy on clean images plus `beta` times the KL divergence that the worst perturbation causes.

    The perturbation is crafted in eval mode (see `eval_mode`) from a uniform start: at the image itself the
    divergence has no gradient.
    """

    epsilon: float = 3 / 255
    beta: float = 6.0
    steps: int = 2
    step_size: float = 2 / 255
    label_smoothing: float = 0.0
    awp: float = 0.0
    """Size of the adversarial weight perturbation (`model_zoo.defenses.worst_weights`); 0 for none."""

    def __post_init__(self) -> None:
        check_ball(self.epsilon, self.steps, self.step_size)
        require(self.beta >= 0, f"beta is {self.beta}; give a weight of at least 0")
        require(0 <= self.label_smoothing < 1, f"label_smoothing is {self.label_smoothing}; give 0 to below 1")
        require(0 <= self.awp < 1, f"awp is {self.awp}; give 0 for none, or a share of the weights' norm such as 0.005")

    def perturb(self, model: nn.Module, images: Tensor) -> Tensor:
        """The images [n,C,H,W] in the ball that move the model's own output furthest; needs no labels."""
        with eval_mode(model):
            with torch.no_grad():
                reference = model(images)
            return perturb(
                lambda candidates: divergence(model(candidates), reference, reduction="sum"),
                images,
                epsilon=self.epsilon,
                steps=self.steps,
                step_size=self.step_size,
                random_start=True,
            )

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy on the clean images + beta * KL(clean || adversarial), both in train mode, in one pass."""
        both = torch.cat([images, self.perturb(model, images)])

        def total(call: Call) -> Tensor:
            clean_logits, adversarial_logits = call(both).chunk(2)
            natural = F.cross_entropy(clean_logits, labels, label_smoothing=self.label_smoothing)
            return natural + self.beta * divergence(adversarial_logits, clean_logits)

        return total(worst_weights(model, total, self.awp) if self.awp else model)
