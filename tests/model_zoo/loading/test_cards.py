"""Cards survive the round trip; what is wrong in one is named with file and key."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.base.text import toml_value
from harness.errors import BadCard
from harness.types import Claim, ModelCard
from model_zoo.loading.card_file import read_card, write_card

CARD = ModelCard(
    name="tiny",
    defense="trades",
    architecture="resnet18",
    num_classes=43,
    input_shape=(3, 32, 32),
    mean=(0.3, 0.31, 0.32),
    std=(0.2, 0.21, 0.22),
    trained_for={"norm": "linf", "epsilon": "3/255"},
    recipe={"epochs": 3, "lr": 1e-3, "options": {"beta": 6.0, "random_start": True}},
    data={"sets": ["gtsrb", "signs:34000"], "gtsrb-train": {"n": 5, "sha256": "ab"}},
    claims={"gtsrb-test": Claim(0.97, 12_630), "odd name.": Claim(1.0, 1)},
    weights={"file": "tiny.safetensors", "sha256": "0" * 64, "bytes": 12},
    provenance={"seed": 0, "hardware": 'a "quoted" \\ name\nin two lines'},
    randomness={"draws": 200, "rule": "mean"},
    notes="Ä note",
)
VALID = """
name = "a"
defense = "standard"
architecture = "resnet18"
num_classes = 43
input_shape = [3, 32, 32]
"""


def test_a_card_survives_the_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "card.toml"
    write_card(CARD, path)
    found = read_card(path)
    for key in ModelCard.__dataclass_fields__:
        assert getattr(found, key) == (path if key == "path" else getattr(CARD, key)), key


def test_a_minimal_card_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "card.toml"
    path.write_text(VALID)
    card = read_card(path)
    assert (card.name, card.mean, card.claims, card.weights) == ("a", (), {}, {})


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("rule = 'majority'", "randomness has draws None: by rule majority expected a whole number from 14"),
        ("draws = 100\nrule = 'median'", "randomness has draws: rule 'median' is not one of majority, mean"),
        ("draws = 100\nk = 3", "randomness.k is unknown; known keys: draws, rule"),
    ],
)
def test_randomness_that_cannot_be_asked_for_is_named(tmp_path: Path, table: str, words: str) -> None:
    path = tmp_path / "card.toml"
    path.write_text(f"{VALID}\n[randomness]\n{table}\n")
    with pytest.raises(BadCard) as refused:
        read_card(path)
    assert words in str(refused.value)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.one_of(
        st.text(st.characters(codec="utf-8")), st.integers(-(2**60), 2**60), st.booleans(), st.floats(allow_nan=False)
    )
)
def test_values_are_spelled_as_toml_reads_them(value: Any) -> None:
    assert tomllib.loads(f"key = {toml_value(value)}") == {"key": value}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (VALID.replace('name = "a"', ""), "name is missing"),
        (VALID + "colour = 3", "colour is unknown; known keys: name"),
        (VALID.replace('"standard"', "3"), "defense is 3; expected a text"),
        (VALID.replace("[3, 32, 32]", "[3, 32]"), r"input_shape is \[3, 32\]"),
        (VALID.replace("[3, 32, 32]", "[3, 32, 0]"), "input_shape"),
        (VALID.replace("[3, 32, 32]", '"big"'), "input_shape is 'big'"),
        (VALID.replace("= 43", "= 1"), "num_classes is 1"),
        (VALID.replace("= 43", "= 43.0"), "num_classes is 43.0"),
        (VALID + "mean = [0.1, 0.2]\nstd = [0.1, 0.2]", "mean has 2 values"),
        (VALID + "mean = [0.1, 0.2, 0.3]", "mean has 3 values and std 0"),
        (VALID + "mean = [0.1, 0.2, 0.3]\nstd = [0.1, 0.0, 0.3]", "std is"),
        (VALID + "recipe = 3", r"recipe is 3; expected a table \[recipe\]"),
        (VALID + "claims.signs = 0.9", "claims.signs is 0.9; expected accuracy and n"),
        (VALID + "[claims.signs]\naccuracy = 97.0\nn = 3", "claims.signs.accuracy is 97.0; expected a share"),
        (VALID + "[claims.signs]\naccuracy = 0.97\nn = 0", "claims.signs.n is 0"),
        ("\nname = [1 2]", "is not valid TOML.*line 2"),
        ("name = '\xff'".encode("latin-1"), "is not valid TOML"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_key(content: str | bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadCard, match=message) as caught:
        read_card(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_card_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadCard, match=r"no\.toml cannot be read: No such file"):
        read_card(tmp_path / "no.toml")
