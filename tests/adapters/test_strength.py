"""Attacks against models whose nearest witness is known: each must get there, and none may get further."""

import math

import pytest
import torch
from strikes import cases, make, strike
from torch import Tensor, nn

RANDOM_SEARCH = {("square", "l2"): 3.0, ("square", "l1"): 1.3}
"""Square's bumps cannot follow a plane in l2 or l1: measured multiples of the margin at which it breaks this one."""


def changes_of(name: str) -> dict[str, object]:
    """Parameters that the closed-form cases need: more tries where the attack may walk the wrong way."""
    return {
        "art.cw-linf": {"initial_const": 0.5, "const_factor": 6.0},
        "art.square": {"steps": 600},
        "torchattacks.cw": {"steps": 400},
        "torchattacks.ffgsm": {"step_size": "2*epsilon"},  # from any start this reaches the corner
        "torchattacks.jitter": {"restarts": 4},
        "torchattacks.square": {"queries": 800},
        "torchattacks.tpgd": {"restarts": 8},  # without labels it starts in either direction
    }.get(name, {})


class Plane(nn.Module):
    """Five classes: class 1 overtakes class 0 on a plane at a known distance, the others never do.

    The plane's normal has one sign a channel (attacks that smooth gradients follow it) and is 0 in the last row and
    column, which Square never changes after its start. With `patches` the sign changes from patch to patch instead.
    """

    def __init__(self, norm: str, size: int = 8, patches: bool = False) -> None:
        super().__init__()
        weight = torch.linspace(1, 2, size * size).view(1, size, size) * torch.tensor([1.0, -1.0, 1.0]).view(3, 1, 1)
        if patches:
            signs = torch.randint(0, 2, (3, size // 2, size // 2), generator=torch.Generator().manual_seed(1)) * 2 - 1
            weight *= signs.repeat_interleave(2, 1).repeat_interleave(2, 2)
        weight[:, -1] = 0
        weight[:, :, -1] = 0
        dual = {"linf": weight.abs().sum(), "l2": weight.norm(), "l1": weight.abs().max()}[norm]
        self.distance = {"linf": 0.1, "l2": 0.5, "l1": 2.0}[norm]
        self.size = size
        self.weight = nn.Parameter(weight.flatten() * 4 / (dual * self.distance))

    def forward(self, images: Tensor) -> Tensor:
        return five((images.flatten(1) - 0.5) @ self.weight - 4)

    def images(self, n: int) -> Tensor:
        """Images at the same distance from the plane, far from the edges of the box."""
        noise = 0.2 * torch.rand(n, 3 * self.size**2, generator=torch.Generator().manual_seed(0)) - 0.1
        weight = self.weight.detach()
        noise -= (noise @ weight)[:, None] * weight / (weight @ weight)
        return 0.5 + noise.view(n, 3, self.size, self.size)


class Stairs(nn.Module):
    """Three steps, each without gradient until the one before is half taken; all three are needed to cross.

    The steps are the channels' means. In the ball of radius `epsilon` all three can be taken together, each to 1.1.
    """

    def __init__(self, norm: str, epsilon: float, size: int = 8) -> None:
        super().__init__()
        pixels = size * size
        self.reach = {"linf": epsilon, "l2": epsilon / math.sqrt(3 * pixels), "l1": epsilon / pixels / 3}[norm] / 1.1
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        first, second, third = ((images - 0.5).mean((2, 3)) / self.reach).unbind(1)
        return five(4 * (first + 2 * (first - 0.5).relu() * second + 2 * (second - 0.5).relu() * third - 2.5))


class Bend(nn.Module):
    """A score that flattens towards the boundary, so that one linear step falls short of it."""

    def __init__(self, norm: str, epsilon: float, size: int = 8) -> None:
        super().__init__()
        pixels = 3 * size * size
        self.reach = {"linf": epsilon, "l2": epsilon / math.sqrt(pixels)}[norm]
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        return five(6 * torch.tanh((images - 0.5).mean((1, 2, 3)) / self.reach) - 4)


def five(score: Tensor) -> Tensor:
    """Logits [n,5] with `score` for class 1, 0 for class 0 and three classes far below."""
    low = [torch.full_like(score, -value) for value in (22.0, 23.0, 24.0)]
    return torch.stack([torch.zeros_like(score), score, *low], dim=1)


def zeros(n: int) -> Tensor:
    """True labels: class 0."""
    return torch.zeros(n, dtype=torch.int64)


@pytest.mark.parametrize(("name", "norm"), cases(lambda kind: True))
def test_breaks_a_plane_just_outside_the_margin_and_never_inside(name, norm):
    attack = make(name, norm, **changes_of(name))
    model = Plane(norm, size=3 if attack.kind == "decision" else 8)
    n = 1 if attack.one_by_one else 2
    images = model.images(n)
    search = name.endswith(".square")
    enough = RANDOM_SEARCH.get(("square", norm), 1.05) if search else 1.05
    if attack.kind in ("minimum", "decision"):
        nearest = strike(attack, model, images, zeros(n), 3 * model.distance) / model.distance
        assert (nearest <= enough).all()
        assert (nearest >= 1 - 1e-4).all()
        return
    broken = strike(attack, model, images, zeros(n), enough * model.distance, watch="freeze")
    assert broken.isfinite().all()
    if not search or norm == "linf":  # elsewhere the search is far from the margin and says nothing of it
        assert not strike(attack, model, images, zeros(n), 0.95 * model.distance).isfinite().any()


@pytest.mark.parametrize(("name", "norm"), cases(lambda kind: kind.iterative))
def test_the_whole_budget_finds_what_a_small_part_of_it_does_not(name, norm):
    full = changes_of(name)
    search = name.endswith(".square")
    if search:
        weak = {**full, "steps" if name == "art.square" else "queries": 5}
    elif name == "torchattacks.cw":
        weak = {**full, "steps": 10}
    elif name == "art.cw":
        weak = {**full, "steps": 1, "binary_search_steps": 1}
    elif name.startswith("autoattack.apgd") and norm == "l1":
        weak = {**full, "steps": 3}  # one at each of its three radii
    else:
        weak = {**full, "steps": 1}
    attack, less = make(name, norm, **full), make(name, norm, **weak)
    epsilon = {"linf": 0.1, "l2": 1.0, "l1": 10.0}[norm]
    images = 0.5 + 0.02 * torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    images = images - images.mean((2, 3), keepdim=True) + 0.5
    if search or attack.kind == "decision":
        model = Plane(norm, size=8 if search else 3, patches=search)
        images = model.images(2)
        epsilon = model.distance * (RANDOM_SEARCH.get(("square", norm), 1.6) if search else 3)
    elif "deepfool" in name or name == "art.cw-linf":
        model = Bend(norm, epsilon)
        images = images[:1]
    else:
        model = Stairs(norm, epsilon)
        if norm == "l1":
            epsilon *= 0.65  # farther out, the shortest runs get there too
    labels = zeros(len(images))
    if attack.kind in ("minimum", "decision"):
        epsilon *= 4
        nearest, rough = (strike(a, model, images, labels, epsilon) for a in (attack, less))
        assert nearest.isfinite().all()
        assert (nearest <= 0.95 * rough).all()
    else:
        assert strike(attack, model, images, labels, epsilon, watch="freeze").isfinite().all()
        assert not strike(less, model, images, labels, epsilon).isfinite().any()
