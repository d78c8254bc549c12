"""How the self-test's networks were trained; ``python -m harness.testing.selftest.training`` writes them anew.

A minute or two on one core. Another machine gives other weights of the same kind; the self-test says whether they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from harness.testing.selftest.networks import FILE, NETWORKS, Normalize
from harness.testing.selftest.patterns import CLASSES, Patterns

IMAGES, BATCH, SEED = 3000, 64, 100


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one network is trained; without steps on clean images only."""

    epochs: int
    epsilon: float = 0.0
    steps: int = 0
    step_size: float = 0.0
    random_start: bool = False
    classes: int = CLASSES


RECIPES = {
    "linear": Recipe(epochs=4),
    "perceptron": Recipe(epochs=4),
    "plain": Recipe(epochs=4),
    "robust": Recipe(epochs=8, epsilon=8 / 255, steps=5, step_size=8 / 255 / 3, random_start=True),
    # One full step of 14/255 without a random start: catastrophic overfitting (Wong, Rice and Kolter 2020).
    "overfitted": Recipe(epochs=10, epsilon=14 / 255, steps=1, step_size=14 / 255),
    "pair": Recipe(epochs=4, classes=2),
}


def perturbed(model: nn.Module, images: Tensor, labels: Tensor, recipe: Recipe) -> Tensor:
    """Training images after the recipe's steps up the gradient's sign, inside ball and box."""
    epsilon = recipe.epsilon
    delta = (torch.rand_like(images) * 2 - 1) * epsilon if recipe.random_start else torch.zeros_like(images)
    for _ in range(recipe.steps):
        here = (images + delta).clamp(0, 1).requires_grad_()
        (gradient,) = torch.autograd.grad(cross_entropy(model(here), labels), here)
        delta = (here.detach() - images + recipe.step_size * gradient.sign()).clamp(-epsilon, epsilon)
    return (images + delta).clamp(0, 1)


def train(name: str) -> dict[str, Tensor]:
    """The state of network `name`, trained by its recipe."""
    torch.manual_seed(0)
    recipe, network = RECIPES[name], NETWORKS[name]()
    model = nn.Sequential(Normalize(), network)
    data = Patterns(IMAGES, SEED, recipe.classes)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(recipe.epochs):
        for rows in torch.randperm(IMAGES).split(BATCH):
            images, labels = data.images[rows], data.labels[rows]
            if recipe.steps:
                model.eval()
                images = perturbed(model, images, labels, recipe)
            model.train()
            optimizer.zero_grad()
            cross_entropy(model(images), labels).backward()
            optimizer.step()
    return network.state_dict()


def main() -> None:
    """Train all of them and write their weights."""
    states = {name: train(name) for name in NETWORKS}
    save_file({f"{name}/{key}": value for name, state in states.items() for key, value in state.items()}, FILE)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
