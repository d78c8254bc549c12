"""An attack: one signed gradient step."""

import torch
from torch.nn.functional import cross_entropy

from harness.attack import BaseAttack


class Step(BaseAttack):
    """The fast gradient sign method, written out."""

    distribution = "harness-plugin-example"
    iterative = False

    def perturb(self, model, problem):
        """See `harness.types.Attack`."""
        images = problem.images.clone().requires_grad_()
        loss = cross_entropy(model(images), problem.labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, images)
        return (images + problem.epsilon * gradient.sign()).clamp(0, 1).detach()
