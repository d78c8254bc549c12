"""Fast-FGSM training (Wong et al., "Fast is better than free", 2020): FGSM from a random start."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from model_zoo.defenses.base import Defense, check_ball, check_shares, require
from model_zoo.defenses.pgd import adversarial_cross_entropy


@dataclass(frozen=True)
class FastFGSM(Defense):
    """One step of `alpha` * epsilon from a uniform start in the ball, projected back on it."""

    epsilon: float = 8 / 255
    alpha: float = 1.25
    """Step size in units of epsilon; the paper's 10/8."""
    clean_share: float = 0.0
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_ball(self.epsilon)
        require(0 < self.alpha <= 2, f"alpha is {self.alpha}; give the step in units of epsilon, such as 1.25")
        check_shares(self.clean_share, self.label_smoothing)

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy on the perturbed batch."""
        return adversarial_cross_entropy(
            model,
            images,
            labels,
            epsilon=self.epsilon,
            steps=1,
            step_size=self.alpha * self.epsilon,
            random_start=True,
            clean_share=self.clean_share,
            label_smoothing=self.label_smoothing,
        )
