"""Adversarial training on cross-entropy: PGD (Madry et al., 2018), which FGSM and Fast-FGSM specialize."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.base.torch_state import eval_mode
from model_zoo.defenses.base import Defense, check_ball, check_shares
from model_zoo.defenses.inner import perturb


def adversarial_cross_entropy(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    epsilon: float,
    steps: int,
    step_size: float,
    random_start: bool,
    clean_share: float,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Mean cross-entropy of a batch whose first `clean_share` stays clean and whose rest is made adversarial.

    Batches are shuffled, so in expectation this is clean_share * clean loss + (1 - clean_share) * adversarial loss at
    the price of one pass. The perturbation is crafted in eval mode (see `eval_mode`), against the true labels alone;
    `label_smoothing` is of the loss that trains.
    """
    clean = round(clean_share * len(images))
    targets = labels[clean:]

    def objective(candidates: Tensor) -> Tensor:
        return F.cross_entropy(model(candidates), targets, reduction="sum")

    with eval_mode(model):
        adversarial = perturb(
            objective, images[clean:], epsilon=epsilon, steps=steps, step_size=step_size, random_start=random_start
        )
    logits = model(torch.cat([images[:clean], adversarial]))
    return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)


@dataclass(frozen=True, kw_only=True)
class PGD(Defense):
    """Training on PGD's images (Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks")."""

    epsilon: float = 8 / 255
    steps: int = 7
    step_size: float = 2 / 255
    random_start: bool = True
    clean_share: float = 0.0
    """Share of each batch that stays clean."""
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_ball(self.epsilon, self.steps, self.step_size)
        check_shares(self.clean_share, self.label_smoothing)

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy on the (partly) perturbed batch."""
        return adversarial_cross_entropy(
            model,
            images,
            labels,
            epsilon=self.epsilon,
            steps=self.steps,
            step_size=self.step_size,
            random_start=self.random_start,
            clean_share=self.clean_share,
            label_smoothing=self.label_smoothing,
        )
