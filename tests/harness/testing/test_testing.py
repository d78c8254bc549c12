"""The conformance kit passes what is good, and says of each bad example what to change."""

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from toys import SmallNet, Toy, labeled, loaded

from harness.attack import BaseAttack
from harness.base.randomness import forked
from harness.testing import NotConformant, check_attack, check_dataset, check_defense, check_model, check_suite
from harness.testing.closed import Features, Plane
from harness.types import Claim, LoadedModel, ModelCard
from model_zoo.defenses.base import Defense
from model_zoo.defenses.standard import Standard


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


def test_a_good_defense_conforms_and_its_task_tells_defended_from_not():
    check_defense("trades")
    task = Features(8 / 255)
    with forked(0):
        untrained = task.model()
    assert task.accuracy(untrained) < 0.7


@dataclass(frozen=True)
class Claims(Standard):
    """Says it defends, and does not."""

    epsilon: float = 8 / 255


@dataclass(frozen=True)
class Vector(Standard):
    def loss(self, model, images, labels):
        return F.cross_entropy(model(images), labels, reduction="none")


@dataclass(frozen=True)
class Evaluates(Standard):
    def loss(self, model, images, labels):
        return F.cross_entropy(model.eval()(images), labels)


@dataclass(frozen=True)
class Upside(Standard):
    def loss(self, model, images, labels):
        return -F.cross_entropy(model(images), labels)


@dataclass(frozen=True)
class Writes(Standard):
    def loss(self, model, images, labels):
        return F.cross_entropy(model(images.mul_(0.5)), labels)


@dataclass(frozen=True)
class Detached(Standard):
    def loss(self, model, images, labels):
        return F.cross_entropy(model(images), labels).detach()


@dataclass
class Other:
    rate: float = 0.1


@dataclass(frozen=True)
class Needs(Defense):
    epsilon: float

    def loss(self, model, images, labels):
        return F.cross_entropy(model(images), labels)


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        (Claims, "defends: trained_for says linf 8/255, but there a linear model trained with it is right on 0 %"),
        (Vector, "loss: loss gave (8,); return a scalar tensor"),
        (Evaluates, "state: loss changed mode of the model; leave weights, train mode"),
        (Upside, "teaches: after 150 steps"),
        (Writes, "state: loss changed the images in place; work on images.clone()"),
        (Detached, "loss: loss has no gradient"),
        (Other, "contract: loss, options, from_options, trained_for, prepare is missing; derive the class from"),
        (Needs, "options: the defense must be made from its options alone; give every field a default"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_bad_defense_is_told_what_to_change(kind, advice):
    with pytest.raises(NotConformant) as told:
        check_defense(kind)
    assert advice in str(told.value)


NET = SmallNet()
TOY = labeled(NET, 60)


def test_a_good_model_conforms():
    check_model(lambda: loaded(SmallNet(), 5), TOY)


class Drops(nn.Module):
    """Dropout that eval mode does not switch off."""

    def forward(self, images):
        return NET(F.dropout(images, 0.2, training=True))


def drawn():
    return LoadedModel("drawn", nn.Sequential(nn.Flatten(), nn.Linear(192, 5)), 5)


def carded():
    card = ModelCard(
        "m", "standard", "small", 4, (3, 8, 8), claims={"toy": Claim(1.0, 60)}, weights={"sha256": "ab" * 32}
    )
    return LoadedModel("m", NET, 5, (3, 8, 8), "cd" * 32, card)


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (drawn, "reload: two loads gave different weights"),
        (carded, "hash: the card says sha256 abababababab..., the weights have cdcdcdcdcdcd"),
        (carded, "card: the card says 4 classes"),
        (lambda: loaded(SmallNet(4), 4), "P15: classes and shape"),
        (lambda: 7, "load: model '<lambda>' of package under test gave int"),
        (lambda: loaded(Drops(), 5), "P5: determinism"),
    ],
)
def test_a_bad_model_is_told_what_to_change(make, advice):
    with pytest.raises(NotConformant) as told:
        check_model(make, TOY, warnings=True)
    assert advice in str(told.value)


OTHER = {"test": TOY, "train": labeled(NET, 60, seed=2), "val": labeled(NET, 60, seed=3)}


def test_a_good_data_set_conforms():
    check_dataset(lambda request: OTHER[request.split])


class Noisy(Toy):
    def take(self, indices):
        images, labels = super().take(indices)
        return (images + 0.01 * torch.rand_like(images)).clamp(0, 1), labels


def toy(kind=Toy, images=TOY.images, labels=TOY.labels, classes=TOY.classes):
    return lambda request: kind(images, labels, classes)


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (toy(Noisy), "determinism: the same index gave two images"),
        (toy(Noisy), "state: take draws from a global random generator"),
        (toy(images=TOY.images * 2), "expected [0,1]"),
        (toy(classes=["a"]), "classes: give two or more names"),
        (toy(labels=TOY.labels * 0), "labels: 60 random samples of 'toy' have one label"),
        (lambda request: [1, 2], "contract: list lacks one of name, classes, __len__ and take"),
    ],
)
def test_a_bad_data_set_is_told_what_to_change(make, advice):
    with pytest.raises(NotConformant) as told:
        check_dataset(make)
    assert advice in str(told.value)


def test_splits_that_overlap_are_told():
    with pytest.raises(NotConformant, match="60 images of the test split are in 'train'"):
        check_dataset(lambda request: TOY)


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
