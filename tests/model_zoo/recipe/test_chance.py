"""A training that learned next to nothing says so, on stderr and in its card."""

import io

import numpy as np
import pytest
from rich.console import Console

from model_zoo.datasets.base import ArrayDataset
from model_zoo.loading.card_file import read_card
from model_zoo.recipe.chance import guessing, near_chance
from model_zoo.recipe.train import Recipe, train
from model_zoo.training.loop import Settings


def data(labels, classes):
    images = np.zeros((len(labels), 4, 4, 3), np.uint8)
    return ArrayDataset("toy", images, np.array(labels), [str(i) for i in range(classes)])


def test_guessing_is_the_share_of_the_most_frequent_class():
    assert guessing(data([0, 1, 1, 2], 3)) == 0.5
    assert guessing(data(list(range(43)) * 10, 43)) == pytest.approx(1 / 43)


@pytest.mark.parametrize(
    ("accuracy", "labels", "little"),
    [
        (0.130, list(range(43)), True),
        (0.218, list(range(43)), True),  # 1/43 + 0.2 * 42/43 = 0.2186
        (0.219, list(range(43)), False),
        (0.854, list(range(43)), False),
        (0.59, [0, 1], True),
        (0.61, [0, 1], False),
        (0.90, [0] * 9 + [1], True),
        (1.00, [0] * 4, False),  # one class: nothing to learn
    ],
)
def test_little_is_less_than_a_fifth_of_the_way(accuracy, labels, little):
    told = near_chance(accuracy, data(labels, max(labels) + 1))
    assert (told is not None) == little


def test_a_training_that_ends_near_chance_says_so(tmp_path):
    said = io.StringIO()
    recipe = Recipe(defense="standard", data=("signs:128",), settings=Settings(epochs=1, batch_size=64))
    card = train(recipe, tmp_path / "out", device="cpu", console=Console(file=said, width=400))
    accuracy = card.claims["signs-val"].accuracy
    line = f"little better than guessing: {100 * accuracy:.1f} % of signs-val are right"
    assert line in said.getvalue()
    assert read_card(tmp_path / "out" / "card.toml").notes.startswith(line)
