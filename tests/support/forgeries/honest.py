"""Attacks whose honest runs are forged: gradient descent, cascades of components, nearest and targeted ones."""

import torch

from harness.types import AttackSpec

FGSM = AttackSpec("fgsm", "torchattacks", "fgsm", {})
PGD = AttackSpec("pgd", "torchattacks", "pgd", {"steps": 5, "step_size": "epsilon/4", "random_start": True})
GRID = ("2/255", "8/255", "16/255")


def climb(observer, problem):
    """Moves a third of the way, then all of it, toward the target or away from the label."""
    for share in (0.3, 1.0):
        images = problem.images.clone().requires_grad_()
        goal = problem.labels if problem.targets is None else problem.targets
        score = observer(images).gather(1, goal[:, None]).sum() * (1 if problem.targets is not None else -1)
        (slope,) = torch.autograd.grad(score, images)
        moved = (problem.images + share * problem.epsilon * slope.sign()).clamp(0, 1)
        observer(moved)
    return moved


def half(observer, problem):
    """The first component tries every second row only."""
    moved = climb(observer, problem) if problem.component == "second" else problem.images.clone()
    if problem.component == "first":
        moved[::2] = climb(lambda images: observer.board.reference.module(images), problem)[::2]
    return moved


KINDS = {
    "plain": ((FGSM, PGD), GRID, None),
    "cascade": ((AttackSpec("c", "test", "scripted", {}),), GRID, {"play": half, "components": ("first", "second")}),
    "individual": (
        (AttackSpec("i", "test", "scripted", {"individual": True}),),
        GRID,
        {
            "play": half,
            "components": ("first", "second"),
            "options": {"individual": bool},
            "params": {"individual": True},
        },
    ),
    "minimum": ((AttackSpec("m", "test", "scripted", {}),), GRID, {"play": climb, "kind": "minimum"}),
    "targeted": (
        (AttackSpec("t", "test", "scripted", {"target": "kth:2"}),),
        ("16/255", "64/255"),
        {
            "play": climb,
            "kind": "targeted",
            "target": "kth:2",
            "options": {"target": str},
            "params": {"target": "kth:2"},
        },
    ),
}
