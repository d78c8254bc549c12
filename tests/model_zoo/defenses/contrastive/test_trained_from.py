"""Pre-training as part of a training: its twin differs in nothing but the start, and every start is named."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from contrast import colors
from PIL import Image
from power_cut import Interrupted, interrupting

from harness.errors import UsageError
from harness.types import ModelCard
from model_zoo.defenses.contrastive.frameworks import A2S
from model_zoo.defenses.standard import Standard
from model_zoo.loading.card_file import read_card
from model_zoo.loading.weights_file import sha256_of
from model_zoo.recipe.train import Recipe, train
from model_zoo.training import initial
from model_zoo.training.loop import Settings

QUICK = {"pretrain_epochs": "2", "embedding": "8", "pretrain_lr": "1e-2"}
RECIPE = Recipe(
    defense="a2s", options=QUICK | {"pretrain_epochs": "1"}, settings=Settings(epochs=1, batch_size=8, lr=1e-3)
)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of 8x8 images, each with its color; train and val."""
    top = tmp_path_factory.mktemp("images")
    pixels, labels = colors(33).images.numpy(), colors(33).labels
    for k in range(33):
        folder = top / ("train" if k < 24 else "val") / str(int(labels[k]))
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[k].astype(np.uint8)).save(folder / f"{k}.png")
    return top


def run(made: Recipe, output: Path, images: Path) -> tuple[str, list[dict[str, float]], ModelCard]:
    """The weights' hash, the history without times, and the card."""
    train(replace(made, data=[f"folder:{images}"]), output, device="cpu")
    history = [{**row, "seconds": 0.0} for row in json.loads((output / "history.json").read_text())]
    return sha256_of(output / "weights.safetensors"), history, read_card(output / "card.toml")


@pytest.fixture(scope="module")
def whole(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("whole") / "mine"
    run(RECIPE, output, images)
    return output


def outcome(output: Path) -> tuple[str, list[dict[str, float]]]:
    history = [{**row, "seconds": 0.0} for row in json.loads((output / "history.json").read_text())]
    return sha256_of(output / "weights.safetensors"), history


def test_without_pretraining_a2s_is_its_twin(images: Path, tmp_path: Path) -> None:
    mine = run(replace(RECIPE, options={"pretrain_epochs": "0"}), tmp_path / "a2s", images)
    twin = run(replace(RECIPE, defense="standard", options={}), tmp_path / "standard", images)
    assert mine[:2] == twin[:2]
    assert mine[2].recipe["pretraining"] == {"framework": "a2s", "epochs": 0}


def test_finetuning_is_the_twin_s_training_from_the_encoder(whole: Path, images: Path, tmp_path: Path) -> None:
    start = str(whole / "encoder-clean")
    twin = run(replace(RECIPE, defense="standard", options={}, init=start), tmp_path / "standard", images)
    again = run(replace(RECIPE, options={}, init=start), tmp_path / "a2s", images)
    assert outcome(whole) == twin[:2] == again[:2]
    card = read_card(whole / "card.toml")
    assert again[2].recipe["pretraining"] == card.recipe["pretraining"]
    assert again[2].recipe["options"] == card.recipe["options"]  # the encoder's, not this run's unused defaults
    assert (card.mean, card.std) == (twin[2].mean, twin[2].std)
    assert "pretraining" not in twin[2].recipe


def test_the_card_tells_both_phases(whole: Path) -> None:
    card = read_card(whole / "card.toml")
    options = card.recipe["options"]
    assert (options["pretrain_epochs"], options["embedding"], options["finetune"]) == (1, 8, "standard")
    assert options["finetune.label_smoothing"] == 0
    assert (card.recipe["lr"], card.recipe["pretraining"]["lr"]) == (1e-3, 1e-2)
    assert card.trained_for == {}  # standard fine-tuning promises nothing
    assert card.recipe["quick_validation"]["epsilon"] == "2/255"
    encoder = read_card(whole / "encoder-clean" / "card.toml")
    assert card.recipe["pretraining"]["encoder"] == encoder.weights["sha256"]
    assert encoder.data == {key: table for key, table in card.data.items() if key != "seen"}
    assert not (whole / "pretrain.pt").exists()


def test_a_finetuning_that_was_cut_goes_on_to_the_same_weights(
    whole: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Standard, "loss", interrupting(Standard.loss, 2))
        with pytest.raises(Interrupted):
            run(RECIPE, tmp_path / "mine", images)
    monkeypatch.setattr(A2S, "contrast", interrupting(A2S.contrast, 1))  # pre-training must not come again
    assert run(RECIPE, tmp_path / "mine", images)[:2] == outcome(whole)


@pytest.mark.parametrize(
    ("defense", "options", "message"),
    [
        ("a2a", {}, r"--init .*encoder-clean was pre-trained by a2s, not a2a; give --defense a2s"),
        ("a2s", {"epsilon": "4/255"}, r"was pre-trained with epsilon=0\.031.*, not 0\.015.*leave --set epsilon away"),
    ],
)
def test_an_encoder_is_not_passed_off_as_another(
    defense: str, options: dict[str, str], message: str, whole: Path, images: Path, tmp_path: Path
) -> None:
    made = replace(RECIPE, defense=defense, options=options, init=str(whole / "encoder-clean"))
    with pytest.raises(UsageError, match=message):
        run(made, tmp_path / "out", images)


def test_a_finished_contrastive_training_is_where_pretraining_starts(whole: Path, images: Path, tmp_path: Path) -> None:
    """Its card tells of a pre-training, too, but its weights are not the encoder that came of it."""
    _, _, card = run(replace(RECIPE, init=str(whole)), tmp_path / "again", images)
    encoder = read_card(tmp_path / "again" / "encoder-clean" / "card.toml")
    assert card.recipe["pretraining"]["encoder"] == encoder.weights["sha256"]
    assert encoder.weights["sha256"] != read_card(whole / "encoder-clean" / "card.toml").weights["sha256"]


def test_an_encoder_of_the_zoo_is_refused_by_the_name_it_was_given_with(
    whole: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(whole / "encoder-clean", tmp_path / "zoo")
    (tmp_path / "zoo" / "card.toml").rename(tmp_path / "zoo" / "shipped.toml")
    monkeypatch.setattr(initial, "MODEL_CARDS", tmp_path / "zoo")
    with pytest.raises(UsageError, match=r"^--init shipped was pre-trained by a2s"):
        run(replace(RECIPE, defense="a2a", options={}, init="shipped"), tmp_path / "out", images)


def test_another_training_s_folder_is_where_pretraining_starts(whole: Path, images: Path, tmp_path: Path) -> None:
    twin = replace(RECIPE, defense="standard", options={}, init=str(whole / "encoder-clean"))
    run(twin, tmp_path / "first", images)
    _, _, card = run(replace(RECIPE, init=str(tmp_path / "first")), tmp_path / "second", images)
    assert card.recipe["pretraining"]["epochs"] == 1
    assert str(card.recipe["init"]).startswith("first (sha256 ")
    assert (tmp_path / "second" / "encoder-clean").is_dir()
