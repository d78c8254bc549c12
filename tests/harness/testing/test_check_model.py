"""The conformance kit on models and data sets: good ones pass, bad ones are told what to change."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from toys import SmallNet, Toy, labeled, loaded

from harness.testing import NotConformant, check_dataset, check_model
from harness.types import Claim, LoadedModel, ModelCard

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


class Boxed(Toy):
    """Boxes that the class's author thinks of as [n,4]."""

    left = 0.0

    def boxes(self, indices):
        return (
            torch.tensor([[self.left + place, 0, 8, 8] for place, _ in enumerate(indices)]) if self.left < 9 else None
        )


def boxed(left):
    return type("Boxed", (Boxed,), {"left": left})


def test_boxes_are_looked_at_where_a_data_set_has_them():
    with pytest.raises(NotConformant, match=r"the box of sample \d+ is \(8, 0, 8, 8\); expected left < right"):
        check_dataset(toy(boxed(8.0)))
    few = lambda request: boxed(0.0)(OTHER[request.split].images[:2], OTHER[request.split].labels[:2], TOY.classes)  # noqa: E731
    with pytest.raises(NotConformant, match="a box depends on its neighbors"):
        check_dataset(few)
    with pytest.raises(NotConformant) as told:
        check_dataset(toy(boxed(9.0)))  # none after all; what is wrong is that all splits are one
    assert "box" not in str(told.value)
