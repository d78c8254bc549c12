"""Where the logits are in what a model returns, and how many classes it has."""

from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from toys import SHAPE, uniform_images

import harness
from harness.errors import ModelRefused
from harness.inputs.objects import Tensors, as_model
from harness.inputs.outputs import fitted
from harness.types import LoadedModel

IMAGES = uniform_images(4, 3)
DATA = Tensors(IMAGES, torch.tensor([0, 1, 2, 3]), "toy", list("abcde"))
Pair = namedtuple("Pair", ["features", "logits"])


@dataclass
class Output:
    logits: torch.Tensor
    hidden: torch.Tensor


class Answers(nn.Module):
    """Returns what `pack` makes of five logits and seven features."""

    def __init__(self, pack):
        super().__init__()
        self.body, self.head, self.pack = nn.Linear(192, 7), nn.Linear(7, 5), pack

    def forward(self, images):
        features = self.body(images.flatten(1))
        return self.pack(self.head(features), features)

    def logits(self, images):
        return self.head(self.body(images.flatten(1)))


PACKS = {
    "tuple": lambda logits, features: (logits, features),
    "list": lambda logits, features: [features, logits],
    "alone": lambda logits, features: (logits,),
    "dict": lambda logits, features: {"hidden": features, "logits": logits},
    "other-key": lambda logits, features: {"out": logits, "loss": features.mean()},
    "namedtuple": lambda logits, features: Pair(features, logits),
    "dataclass": lambda logits, features: Output(logits, features),
}


@pytest.mark.parametrize("guessed", [True, False])
@pytest.mark.parametrize("pack", PACKS.values(), ids=PACKS)
def test_the_logits_are_found_and_the_card_says_so(pack, guessed):
    module = Answers(pack)
    model = fitted(LoadedModel("mine", module, 7 if guessed else 5, SHAPE, guessed=guessed), DATA)
    assert (model.num_classes, model.guessed) == (5, False)
    with torch.no_grad():
        assert torch.equal(model.module(IMAGES), module.logits(IMAGES))
    assert "measured as the logits" in model.card.notes


@pytest.mark.parametrize(
    ("pack", "message"),
    [
        (lambda logits, features: (logits, logits), r"a tuple of 2 .*entry 0 \(1, 5\), entry 1 \(1, 5\).* not plain"),
        (lambda logits, features: {"a": features, "b": features}, r"entry 'a' \(1, 7\).* under the name 'logits'"),
        (lambda logits, features: None, "a NoneType for one image .no tensors"),
        (lambda logits, features: logits[:, :1], r"one number for one image \(1, 1\).*torch\.stack"),
        (lambda logits, features: logits[:, 0], r"one number for one image \(1,\)"),
        (lambda logits, features: logits[:, :, None, None], r"\(1, 5, 1, 1\) for one image; expected logits"),
    ],
)
def test_what_is_not_plain_says_its_own_cause(pack, message):
    with pytest.raises(ModelRefused, match=message):
        as_model(Answers(pack), DATA)
    with pytest.raises(ModelRefused, match=message):
        fitted(LoadedModel("mine", Answers(pack), 7, SHAPE, guessed=True), DATA)


def test_the_class_count_is_the_model_s_answer_not_a_layer(tmp_path):
    class Projected(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.projection = nn.Linear(192, 5), nn.Linear(192, 2)  # the last one is not asked

        def forward(self, images):
            return self.head(images.flatten(1))

    from model_zoo.loading.python_file import with_contract

    loaded = with_contract(Projected(), {}, "projected", "file.py:f")
    assert (loaded.num_classes, loaded.guessed) == (2, True)
    assert fitted(loaded, DATA).num_classes == 5
    given = with_contract(Projected(), {"num_classes": 5}, "projected", "file.py:f")
    assert fitted(given, DATA) is given


def test_a_model_that_returns_a_dictionary_is_measured_and_verified(tmp_path):
    torch.manual_seed(0)
    module = Answers(PACKS["dict"])
    labels = module.logits(IMAGES).argmax(1)
    run = harness.evaluate(
        module, "fgsm", (IMAGES, labels), eps=["8/255"], results=tmp_path, progress=False, force=True
    )
    assert run.complete
    assert "entry 'logits' is measured as the logits" in run.run.info.card["notes"]
    assert run.verify().ok


def test_a_model_that_fails_is_left_to_the_doctor():
    broken = LoadedModel("mine", nn.Linear(3, 5), 5, SHAPE, guessed=True)
    assert fitted(broken, DATA) is broken
