"""An attack of your own, held to its contract.

    python examples/your_attack.py

Registered in a package (``harness new-defense my-attack --kind attack``) it stands in suites beside the tools' attacks.
"""

import torch
from torch.nn.functional import cross_entropy

from harness.attack import BaseAttack
from harness.testing import NotConformant, check_attack


class Step(BaseAttack):
    """One signed gradient step."""

    distribution = "torch"
    iterative = False

    def perturb(self, model, problem):
        images = problem.images.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(cross_entropy(model(images), problem.labels, reduction="sum"), images)
        return (images + problem.epsilon * gradient.sign()).clamp(0, 1).detach()


class Careless(Step):
    """The same with two mistakes."""

    def perturb(self, model, problem):
        return 2 * super().perturb(model, problem) - problem.images


check_attack(Step)
print("Step conforms")
try:
    check_attack(Careless)
except NotConformant as faults:
    print(faults)
