"""N-FGSM training (de Jorge et al., "Make Some Noise", 2022): one step from a noisy image, clipped to no ball."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from harness.base.torch_state import eval_mode
from model_zoo.defenses.base import Defense, check_ball, check_shares, require
from model_zoo.defenses.inner import noisy_step


@dataclass(frozen=True)
class NFGSM(Defense):
    """One step of `alpha` * epsilon from uniform noise of `noise` * epsilon, not clipped to the ball.

    The images trained on are up to (`noise` + `alpha`) * epsilon away, which is what keeps one step from catastrophic
    overfitting.
    """

    epsilon: float = 8 / 255
    noise: float = 2.0
    """Half the width of the noise in units of epsilon; the paper's k."""
    alpha: float = 1.0
    """Length of the step in units of epsilon."""
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_ball(self.epsilon)
        check_shares(0.0, self.label_smoothing)
        require(self.noise >= 0, f"noise is {self.noise}; give it in units of epsilon, such as 2")
        require(0 < self.alpha <= 2, f"alpha is {self.alpha}; give the step in units of epsilon, such as 1")

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy on the perturbed batch."""
        with eval_mode(model):
            adversarial = noisy_step(
                lambda candidates: F.cross_entropy(model(candidates), labels, reduction="sum"),
                images,
                noise=self.noise * self.epsilon,
                step_size=self.alpha * self.epsilon,
            )
        return F.cross_entropy(model(adversarial), labels, label_smoothing=self.label_smoothing)
