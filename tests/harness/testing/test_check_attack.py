"""The conformance kit on attacks and suites: good ones pass, bad ones are told what to change."""

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F

from harness.attack import BaseAttack
from harness.testing import NotConformant, check_attack, check_suite
from harness.testing.closed import Plane


@dataclass(frozen=True)
class Signs(BaseAttack):
    """A correct single step; the bad ones differ in one thing each."""

    distribution = "torch"
    iterative = False
    freezable = True

    def perturb(self, model, problem):
        images = problem.images.clone().requires_grad_()
        loss = F.cross_entropy(model(images), problem.labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, images)
        return (images + problem.epsilon * gradient.sign()).clamp(0, 1).detach()


class Far(Signs):
    def perturb(self, model, problem):
        return (problem.images + 2 * (super().perturb(model, problem) - problem.images)).clamp(0, 1)


class Weak(Signs):
    def perturb(self, model, problem):
        return problem.images - (super().perturb(model, problem) - problem.images)


class Draws(Signs):
    calls = 0

    def perturb(self, model, problem):
        type(self).calls += 1
        return (super().perturb(model, problem) - 1e-3 * type(self).calls).clamp(0, 1).maximum(problem.images - 0.05)


class Writes2(Signs):
    def perturb(self, model, problem):
        problem.images.copy_(super().perturb(model, problem))
        return problem.images


class Changes(Signs):
    def perturb(self, model, problem):
        with torch.no_grad():
            next(model.parameters()).mul_(1.5)
        return super().perturb(model, problem)


class Swallows(Signs):
    def perturb(self, model, problem):
        try:
            return super().perturb(model, problem)
        except BaseException:
            return problem.images


class Shape(Signs):
    def perturb(self, model, problem):
        return super().perturb(model, problem)[:1]


class Box(Signs):
    def perturb(self, model, problem):
        return super().perturb(model, problem) * 3


class Anything(Signs):
    def __post_init__(self):
        object.__setattr__(self, "params", dict(self.spec.params) | {"restarts": 1})


ATTACKS = {
    "far": (Far, "budget: left the ball for 13 of 13 images (linf distance up to 0.1, epsilon 0.05)"),
    "weak": (Weak, "strength: 4 of 4 images of a linear model stay unbroken"),
    "draws": (Draws, "determinism: the same seed gave other images"),
    "writes": (Writes2, "state: perturb changed problem.images in place"),
    "changes": (Changes, "state: perturb changed tensor weight; work on copies"),
    "swallows": (Swallows, "early exit: perturb swallowed a BaseException"),
    "shape": (Shape, "result: returned (1, 3, 8, 8) for images (13, 3, 8, 8)"),
    "box": (Box, "box: pixels left [0,1]"),
    "anything": (Anything, "parameters: an unknown parameter is accepted"),
}
PGD = {"steps": 10, "step_size": "epsilon/4", "random_start": True}


def test_good_attacks_conform():
    check_attack(Signs)
    check_attack("torchattacks.pgdl2", PGD, "l2")


@pytest.mark.parametrize("name", ATTACKS)
def test_a_bad_attack_is_told_what_to_change(name):
    kind, advice = ATTACKS[name]
    with pytest.raises(NotConformant) as told:
        check_attack(kind)
    assert advice in str(told.value)
    assert str(told.value).startswith(f"attack 'test.{kind.__name__.lower()}' does not conform:\n- ")


def test_an_unregistered_attack_is_one_line():
    with pytest.raises(NotConformant, match=r"import: unknown attack 'no\.such'"):
        check_attack("no.such")


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_the_plane_is_where_it_says(norm):
    plane = Plane(norm)
    factors = torch.tensor([0.5, 1.0, 1.5])
    logits = plane(plane.images(factors, norm))
    margin = (logits[:, 0] - logits[:, 1]) / 2
    assert torch.allclose(margin, factors, atol=1e-4)


def test_suites(tmp_path):
    check_suite("pgd")
    bad = tmp_path / "bad.toml"
    text = (
        'name = "bad"\nversion = 1\nnorm = "linf"\nepsilons = ["8/255"]\n[[attack]]\nid = "a"\ntool = "torchattacks"\n'
    )
    bad.write_text(text + 'method = "pgd"\nparams = { steps = 3, step_size = 8, random_start = true }\n')
    with pytest.raises(NotConformant, match="step_size 8 of attack 'a' is above 1"):
        check_suite(bad)


def test_the_kit_knows_only_attacks():
    with pytest.raises(NotConformant, match=r"derive the class from harness\.attack.BaseAttack"):
        check_attack(lambda spec, norm: object())
    assert issubclass(ATTACKS["far"][0], BaseAttack)
