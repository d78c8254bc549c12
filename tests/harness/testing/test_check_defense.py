"""The conformance kit on defenses: good ones pass, bad ones are told what to change."""

from dataclasses import dataclass

import pytest
import torch.nn.functional as F

from harness.base.randomness import forked
from harness.testing import NotConformant, check_defense
from harness.testing.closed import Features
from model_zoo.defenses.base import Defense
from model_zoo.defenses.standard import Standard


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
