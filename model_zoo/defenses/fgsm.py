"""FGSM training (Goodfellow et al., 2015): one full step from the image, clean and adversarial images mixed."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from model_zoo.defenses.base import Defense, check_ball, check_shares
from model_zoo.defenses.pgd import adversarial_cross_entropy


@dataclass(frozen=True)
class FGSM(Defense):
    """Training on FGSM's images; half of each batch stays clean, as the paper weighs the two losses."""

    epsilon: float = 8 / 255
    clean_share: float = 0.5
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_ball(self.epsilon)
        check_shares(self.clean_share, self.label_smoothing)

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy on the partly perturbed batch."""
        return adversarial_cross_entropy(
            model,
            images,
            labels,
            epsilon=self.epsilon,
            steps=1,
            step_size=self.epsilon,
            random_start=False,
            clean_share=self.clean_share,
            label_smoothing=self.label_smoothing,
        )
