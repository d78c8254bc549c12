"""The zoo as it ships: every card's weights are there, are those of its hash, and are as accurate as it claims."""

from __future__ import annotations

import shlex
from functools import cache

import pytest

from harness.errors import BadWeights
from harness.inputs.registry import Registry
from harness.types import ModelCard
from model_zoo.cli import parse_options
from model_zoo.datasets.base import ArrayDataset
from model_zoo.datasets.classes import TRAFFIC_SIGNS
from model_zoo.datasets.signs.freeze import load_test
from model_zoo.defenses.base import load_defense
from model_zoo.loading.card_file import read_card
from model_zoo.loading.from_card import MODEL_CARDS, WEIGHTS, load_card, load_zoo
from model_zoo.training.clean_accuracy import clean_accuracy

CARDS = {path.stem: read_card(path) for path in sorted(MODEL_CARDS.glob("*.toml"))}
SHIPPED = [name for name, card in CARDS.items() if card.weights]
RECIPES = [name for name, card in CARDS.items() if not card.weights]
FLIPS = 3
"""Of 1,290 images, how many may round to another class on another machine."""


@cache
def signs() -> ArrayDataset:
    return ArrayDataset("signs", *load_test(), TRAFFIC_SIGNS)


def test_every_card_is_a_registered_model_and_every_file_has_a_card() -> None:
    assert {entry.name for entry in Registry("models").entries() if entry.package == "robustness-harness"} == set(CARDS)
    assert {path.name for path in WEIGHTS.glob("*.safetensors")} == {CARDS[name].weights["file"] for name in SHIPPED}
    assert {"standard", "trades"} <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_checkpoint_is_what_its_card_says(name: str) -> None:
    model = Registry("models").load(name)()
    assert (model.name, model.num_classes, model.weights_sha256) == (name, 43, CARDS[name].weights["sha256"])
    assert (WEIGHTS / CARDS[name].weights["file"]).stat().st_size == CARDS[name].weights["bytes"]
    accuracy, n = clean_accuracy(model.module, signs())
    claim = CARDS[name].claims["signs"]
    assert n == claim.n
    assert abs(accuracy - claim.accuracy) * n <= FLIPS


@pytest.mark.parametrize("name", SHIPPED)
def test_a_card_has_what_a_reader_needs(name: str) -> None:
    card = CARDS[name]
    assert card.claims["gtsrb-test"].n == 12_630
    assert {"epochs", "batch_size", "lr", "weight_decay", "options", "augmentation"} <= set(card.recipe)
    assert {"seed", "hardware", "precision", "training_minutes", "license", "versions"} <= set(card.provenance)
    assert all(len(card.data[part]["sha256"]) == 64 for part in ("gtsrb-train", "signs-train"))
    defense = load_defense(card.defense, card.recipe["options"])
    assert dict(card.trained_for) == defense.trained_for


@pytest.mark.parametrize("name", RECIPES)
def test_a_card_without_weights_says_so_and_has_the_command(name: str) -> None:
    card: ModelCard = CARDS[name]
    assert card.notes.startswith("Not shipped")
    words = shlex.split(card.recipe["command"])
    assert words[:2] == ["harness", "train"]
    options = parse_options([words[i + 1] for i, word in enumerate(words) if word == "--set"])
    load_defense(words[words.index("--defense") + 1], options)
    with pytest.raises(BadWeights, match="only its recipe is known"):
        load_card(card)
    with pytest.raises(BadWeights):
        load_zoo(name)
