"""Validation figures against a linear model whose robust accuracy is known, and the spelling of numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harness.errors import UsageError
from model_zoo.datasets.base import ArrayDataset
from model_zoo.numbers import number, spell
from model_zoo.recipe.validate import Validator
from model_zoo.training.clean_accuracy import clean_accuracy


class Threshold(nn.Module):
    """Class 1 where the first pixel is above one half; batch norm and dropout would disturb it in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(10.0))
        self.noise = nn.Dropout(0.5)

    def forward(self, images: Tensor) -> Tensor:
        z = self.noise(self.scale * (images[:, 0, 0, 0] - 0.5))
        return torch.stack([-z, z], dim=1)


def ramp() -> ArrayDataset:
    """200 images whose first pixel runs from 28 to 227, labeled by the threshold, the first ten of them wrongly."""
    images = np.zeros((200, 2, 2, 1), dtype=np.uint8)
    images[:, 0, 0, 0] = np.arange(28, 228)
    labels = (np.arange(200) >= 100).astype(np.int64)
    labels[:10] = 1
    return ArrayDataset("ramp", images, labels, ["below", "above"])


def test_figures_of_a_linear_model_are_exact() -> None:
    """At epsilon 20/255, the 40 images within 20 steps of the threshold fall, and the ten wrong ones stay wrong."""
    model = Threshold().train()
    figures = Validator(datasets=[ramp()], epsilon=20 / 255, attack_rows=200)(model)
    assert figures == {"clean": 0.95, "fgsm": 0.75, "pgd": 0.75, "clean/ramp": 0.95}
    assert model.training
    assert model.scale.grad is None
    assert clean_accuracy(model, ramp()) == (0.95, 200)


def test_validation_disturbs_no_random_state_and_repeats_itself() -> None:
    validator = Validator(datasets=[ramp()], epsilon=1e-3, clean_rows=50, attack_rows=20)
    before = torch.get_rng_state()
    assert validator(Threshold()) == validator(Threshold())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("text", "value"), [("8/255", 8 / 255), ("0.03", 0.03), ("1e-3", 1e-3), (" 1 ", 1.0), (0.5, 0.5)]
)
def test_numbers_are_read(text: str | float, value: float) -> None:
    assert number(text) == value


@pytest.mark.parametrize("text", ["", "8/0", "8/", "1/2/3", "nan", "inf", "eight", "8/inf/"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="epsilon is"):
        number(text, "epsilon")


@pytest.mark.parametrize(
    ("value", "text"), [(8 / 255, "8/255"), (0.5 / 255, "0.5/255"), (1.0, "255/255"), (0.03, "0.03"), (0.0, "0.0")]
)
def test_small_multiples_of_a_255th_are_spelled_as_such(value: float, text: str) -> None:
    assert spell(value) == text
    assert number(text) == pytest.approx(value, abs=1e-12)
