"""A whole training on a tiny folder of images: what it writes, that it loads, and what it refuses."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from harness.errors import BadData, BadWeights, UnknownName, UsageError
from harness.trust.doctor.training_images import training_images
from model_zoo.loading.card_file import read_card
from model_zoo.loading.from_card import MODEL_CARDS, WEIGHTS
from model_zoo.loading.sources import resolve
from model_zoo.loading.weights_file import sha256_of
from model_zoo.recipe import claims
from model_zoo.recipe.claims import add_claims
from model_zoo.recipe.train import Recipe, load_dataset, train
from model_zoo.training import initial
from model_zoo.training.clean_accuracy import clean_accuracy
from model_zoo.training.loop import Settings

RECIPE = Recipe(defense="standard", arch="resnet18", settings=Settings(epochs=1, batch_size=8, lr=1e-3))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of 8x8 images, each with its color; train and val."""
    top = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 3)):
        for label in range(3):
            (top / split / str(label)).mkdir(parents=True)
            for k in range(count):
                pixels = rng.integers(0, 60, (8, 8, 3), dtype=np.uint8)
                pixels[..., label] += 150
                Image.fromarray(pixels).save(top / split / str(label) / f"{k}.png")
    return top


@pytest.fixture(scope="module")
def finished(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("out") / "mine"
    settings = replace(RECIPE.settings, epochs=6)
    made = replace(RECIPE, defense="fgsm", options={"epsilon": "4/255"}, data=[f"folder:{images}"], settings=settings)
    train(made, output, device="cpu")
    return output


def test_the_folder_holds_card_weights_and_history(finished: Path) -> None:
    assert sorted(path.name for path in finished.iterdir()) == [
        "card.toml",
        "history.json",
        "seen.npy",
        "weights.safetensors",
    ]
    card = read_card(finished / "card.toml")
    assert (card.name, card.defense, card.num_classes, card.input_shape) == ("mine", "fgsm", 3, (3, 8, 8))
    assert card.trained_for == {"norm": "linf", "epsilon": "4/255"}
    assert card.recipe["options"] == {"epsilon": 4 / 255, "clean_share": 0.5, "label_smoothing": 0.0}
    assert (card.recipe["epochs"], card.recipe["init"], card.provenance["seed"]) == (6, "random", 0)
    assert card.weights["sha256"] == sha256_of(finished / "weights.safetensors")
    assert {row["n"] for name, row in card.data.items() if name not in ("sets", "classes", "seen")} == {24, 9}
    assert card.data["seen"]["n"] == 24
    assert set(card.provenance) >= {"hardware", "training_minutes", "versions", "license"}
    stored = safetensors.torch.load_file(finished / "weights.safetensors")
    assert stored["conv1.weight"].dtype == torch.float16


def test_the_history_has_a_row_an_epoch(finished: Path) -> None:
    history = json.loads((finished / "history.json").read_text())
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5, 6]
    assert all(0 <= row[name] <= 1 for row in history for name in ("clean", "fgsm", "pgd"))
    assert history[-1]["loss"] < history[0]["loss"]


def test_the_claim_is_the_accuracy_of_the_file_that_is_loaded(finished: Path, images: Path) -> None:
    model = resolve(str(finished))
    assert model is not None
    assert model.card is not None
    dataset = load_dataset(f"folder:{images}", "val", None)
    claim = model.card.claims[dataset.name]
    assert (claim.accuracy, claim.n) == clean_accuracy(model.module, dataset)
    assert claim.n == 9


def test_the_card_says_how_the_loop_was_set(images: Path, tmp_path: Path) -> None:
    settings = replace(RECIPE.settings, schedule="constant", ema=0.9)
    card = train(
        replace(RECIPE, data=[f"folder:{images}"], settings=settings, cutout=0.25), tmp_path / "x", device="cpu"
    )
    told = read_card(tmp_path / "x" / "card.toml").recipe
    assert told == card.recipe
    assert (told["schedule"], told["ema"], told["optimizer"]) == ("constant", 0.9, "AdamW, constant rate")
    assert told["augmentation"]["cutout"] == 0.25
    with pytest.raises(UsageError, match=r"cutout is 1\.5; give a share"):
        train(replace(RECIPE, data=[f"folder:{images}"], cutout=1.5), tmp_path / "y", device="cpu")


def test_a_finished_folder_is_not_overwritten(finished: Path) -> None:
    with pytest.raises(UsageError, match="already holds a finished training"):
        train(RECIPE, finished)


def test_a_training_starts_from_another_one(finished: Path, images: Path, tmp_path: Path) -> None:
    settings = replace(RECIPE.settings, lr=1e-12, weight_decay=0.0)
    made = replace(RECIPE, data=[f"folder:{images}"], init=str(finished), settings=settings)
    card = train(made, tmp_path / "next", device="cpu")
    first = safetensors.torch.load_file(finished / "weights.safetensors")
    second = safetensors.torch.load_file(tmp_path / "next" / "weights.safetensors")
    assert all(torch.equal(second[key], first[key]) for key in first if key.endswith("conv1.weight"))
    assert card.mean == read_card(finished / "card.toml").mean
    assert str(card.recipe["init"]).startswith("mine (sha256 ")


def test_what_was_trained_on_is_listed_and_handed_on(finished: Path, images: Path, tmp_path: Path) -> None:
    other = shutil.copytree(images, tmp_path / "other")
    for path in other.glob("train/*/*.png"):
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    made = replace(RECIPE, data=[f"folder:{other}"], init=str(finished))
    card = train(made, tmp_path / "next", device="cpu")
    assert set(card.data["start"]) == {f"folder-{images.name}-{split}" for split in ("train", "val")}
    assert card.data["seen"]["n"] == 48
    for place in (images, other):
        (place / "test").symlink_to(place / "train")
    try:
        for place in (images, other):
            found = training_images(card, load_dataset(f"folder:{place}", "test", None))
            assert [(f.level, f.figure) for f in found] == [("refuse", 1.0)]
            with pytest.raises(UsageError, match=r"next makes no claim on folder-\w+-test: training images: 24 of 24"):
                add_claims(tmp_path / "next", [f"folder:{place}"])
        app = typer.Typer()
        app.command()(claims.main)
        told = CliRunner().invoke(app, [str(tmp_path / "next"), "--data", f"folder:{images}"])
        assert (told.exit_code, told.output.count("\n")) == (2, 1)
        mine = read_card(finished / "card.toml")
        assert training_images(mine, load_dataset(f"folder:{other}", "test", None)) == []
        assert "start" not in mine.data
    finally:
        (images / "test").unlink()


def test_another_class_count_gets_a_new_head_and_another_architecture_is_refused(finished: Path) -> None:
    from model_zoo.loading.architectures import build

    torch.manual_seed(0)
    network = build("resnet18", 7)
    head = network.fc.weight.clone()  # type: ignore[union-attr, operator]
    initial.initialize(network, "resnet18", str(finished))
    assert torch.equal(network.fc.weight, head)  # type: ignore[union-attr, arg-type]
    stored = safetensors.torch.load_file(finished / "weights.safetensors")
    assert torch.equal(network.state_dict()["conv1.weight"], stored["conv1.weight"].float())
    with pytest.raises(BadWeights, match="does not fit resnet34"):
        initial.initialize(build("resnet34", 7), "resnet34", str(finished))


def test_a_checkpoint_of_the_zoo_is_a_start_unless_a_folder_has_its_name(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model_zoo.loading.architectures import build

    torch.manual_seed(0)
    network = build("resnet18", 43)
    source = initial.initialize(network, "resnet18", "standard")
    stored = safetensors.torch.load_file(WEIGHTS / "standard.safetensors")
    assert torch.equal(network.state_dict()["fc.weight"], stored["fc.weight"].float())
    assert source == f"standard (sha256 {read_card(MODEL_CARDS / 'standard.toml').weights['sha256']})"
    assert initial.statistics(None, "standard")[0] == read_card(MODEL_CARDS / "standard.toml").mean  # type: ignore[arg-type]
    (tmp_path / "standard").symlink_to(finished)
    monkeypatch.chdir(tmp_path)
    assert initial.statistics(None, "standard")[0] == read_card(finished / "card.toml").mean  # type: ignore[arg-type]
    initial.initialize(network, "resnet18", "standard")
    mine = safetensors.torch.load_file(finished / "weights.safetensors")
    assert torch.equal(network.state_dict()["conv1.weight"], mine["conv1.weight"].float())


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"defense": "trade"}, UnknownName, "did you mean 'trades'"),
        ({"options": {"epsilon": "8/255"}}, UsageError, "no option 'epsilon'"),
        ({"data": ["gtsrbb"]}, UnknownName, "gtsrb"),
        ({"arch": "resnet19"}, UnknownName, "resnet18"),
        ({"init": "no/such/folder"}, UsageError, r"holds no weights\.safetensors"),
        ({"init": "no-such-checkpoint"}, UsageError, r"holds no weights\.safetensors"),
        ({"init": "pgd"}, BadWeights, "only its recipe is known"),
        ({"augment": -1.0}, UsageError, "strength"),
        ({"arch": "vit_b_32"}, UsageError, r"vit_b_32 cannot take images of 3x8x8 \(AssertionError: .*another --arch"),
        ({"arch": "inception_v3"}, UsageError, r"inception_v3 cannot take images of 3x8x8 \(RuntimeError"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    changes: dict[str, object], error: type[Exception], message: str, images: Path, tmp_path: Path
) -> None:
    made = replace(RECIPE, **{"data": [f"folder:{images}"], **changes})  # type: ignore[arg-type]
    with pytest.raises(error, match=message):
        train(made, tmp_path / "out", device="cpu")


@pytest.mark.parametrize(
    ("output", "got"),
    [(lambda logits: (logits, logits), "tuple"), (lambda logits: logits[None], r"\[1, 2, 3\]")],
    ids=["two outputs", "another shape"],
)
def test_what_returns_no_logits_in_train_mode_is_refused_before_the_training(
    output: Callable[[torch.Tensor], object],
    got: str,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Odd(torch.nn.Linear):
        def forward(self, x: torch.Tensor) -> object:  # type: ignore[override]
            return output(super().forward(x.flatten(1)))

    monkeypatch.setattr("torchvision.models.get_model", lambda *_, **__: Odd(192, 3))
    with pytest.raises(UsageError, match=rf"resnet18 returns {got} in train mode, not logits \[2, 3\]"):
        train(replace(RECIPE, data=[f"folder:{images}"]), tmp_path / "out", device="cpu")


def test_looking_at_an_architecture_changes_nothing() -> None:
    from model_zoo.loading.architectures import build, check_trainable

    network = build("mobilenet_v3_small", 3)  # it has batch norm and dropout
    before, drawn = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    check_trainable(network.eval(), "mobilenet_v3_small", 3, (3, 32, 32))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn)
    assert not network.training


def test_googlenet_trains_without_its_auxiliary_heads() -> None:
    from model_zoo.loading.architectures import build, check_trainable, has_auxiliary

    network = build("googlenet", 3)
    check_trainable(network, "googlenet", 3, (3, 32, 32))
    assert not has_auxiliary(network.state_dict())


def test_training_and_validation_must_number_their_classes_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model_zoo.datasets.base import ArrayDataset

    def stranger(text: str, split: str, *_: object) -> ArrayDataset:
        names = ["a", "b", "c"] if split == "train" else ["a", "c", "d"]
        return ArrayDataset(f"odd-{split}", np.zeros((9, 8, 8, 3), np.uint8), np.arange(9) % 3, names)

    monkeypatch.setattr("model_zoo.recipe.train.load_dataset", stranger)
    with pytest.raises(BadData, match=r"data set odd: the classes of training \(a, b, c\) and validation \(a, c, d\)"):
        train(replace(RECIPE, data=["odd"]), tmp_path / "out", device="cpu")


@pytest.mark.parametrize("device", ["tpu!", "meta"])
def test_an_unusable_device_is_refused(device: str, images: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="device"):
        train(replace(RECIPE, data=[f"folder:{images}"]), tmp_path / "out", device=device)


def test_claims_on_the_test_split_join_the_card(finished: Path, images: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    shutil.copytree(images / "val", tmp_path / "set" / "test")
    before = read_card(folder / "card.toml")
    card = add_claims(folder, [f"folder:{tmp_path / 'set'}"])
    assert read_card(folder / "card.toml") == card
    assert set(card.claims) == {*before.claims, "folder-set-test"}
    (validation,) = before.claims.values()
    assert card.claims["folder-set-test"] == validation  # the same images under another name
    assert replace(card, claims=before.claims) == before
