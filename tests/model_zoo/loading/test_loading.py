"""Weights are loaded strictly, and only if they are those the card names."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn
from zoo import ARCHITECTURE, make_checkpoint, with_weights

from harness.errors import BadCard, BadWeights, UnknownName
from harness.types import ModelCard
from model_zoo.loading import architectures
from model_zoo.loading.from_card import load_card
from model_zoo.loading.weights_file import load_strictly, read_weights, sha256_of, state_sha256, write_weights


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    return make_checkpoint(tmp_path_factory.mktemp("zoo") / "tiny")


@pytest.fixture
def card(original: ModelCard, tmp_path: Path) -> ModelCard:
    assert original.path is not None
    shutil.copytree(original.path.parent, tmp_path / "tiny")
    return replace(original, path=tmp_path / "tiny" / "card.toml")


def weights_of(card: ModelCard) -> Path:
    assert card.path is not None
    return card.path.parent / "weights.safetensors"


def vouch(card: ModelCard) -> ModelCard:
    """The card with the hash of whatever file now lies there."""
    return with_weights(card, sha256=sha256_of(weights_of(card)))


def test_the_model_is_the_one_that_was_saved(card: ModelCard) -> None:
    loaded = load_card(card)
    torch.manual_seed(0)
    network = architectures.build(ARCHITECTURE, 5).eval()
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = network((images - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) / 0.2)
        torch.testing.assert_close(loaded.module(images), expected, rtol=1e-2, atol=1e-3)  # float16 weights
    assert not any(module.training for module in loaded.module.modules())
    assert (loaded.name, loaded.num_classes, loaded.input_shape) == ("tiny", 5, (3, 32, 32))
    assert loaded.weights_sha256 == sha256_of(weights_of(card))
    assert all(p.dtype == torch.float32 for p in loaded.module.parameters())


def test_matrices_are_halved_and_vectors_kept(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    network[1].running_var.fill_(1e-9)  # would be 0 in float16
    write_weights(network, tmp_path / "w.safetensors")
    stored = safetensors.torch.load_file(tmp_path / "w.safetensors")
    assert stored["0.weight"].dtype == torch.float16
    assert stored["1.num_batches_tracked"].dtype == torch.int64
    assert (stored["1.running_var"] == 1e-9).all()
    assert read_weights(tmp_path / "w.safetensors")["0.weight"].dtype == torch.float32


def test_weights_may_lie_in_the_zoo_s_folder(card: ModelCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights_of(card).rename(tmp_path / "weights.safetensors")
    monkeypatch.setattr("model_zoo.loading.from_card.WEIGHTS", tmp_path)
    assert load_card(card).name == "tiny"


def test_corrupt_and_swapped_weights_are_refused_by_their_hash(card: ModelCard, tmp_path: Path) -> None:
    path = weights_of(card)
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadWeights, match=r"not those of tiny: sha256 is.*corrupt or of another model"):
        load_card(card)
    make_checkpoint(tmp_path / "other", seed=1)
    shutil.copy(tmp_path / "other" / "weights.safetensors", path)
    with pytest.raises(BadWeights, match="not those of tiny"):
        load_card(card)


def test_truncated_weights_are_refused_even_with_their_hash(card: ModelCard) -> None:
    path = weights_of(card)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BadWeights, match="cannot be read as safetensors"):
        load_card(vouch(card))


def test_a_pickle_is_no_weights_file_and_is_not_run(card: ModelCard, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (str(tmp_path / "exploded"),))

    weights_of(card).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(BadWeights, match="cannot be read as safetensors"):
        load_card(vouch(card))
    assert not (tmp_path / "exploded").exists()


def test_missing_weights_are_named_with_the_places_looked_at(card: ModelCard) -> None:
    weights_of(card).unlink()
    with pytest.raises(BadWeights, match=r"weights\.safetensors of tiny are missing: not in .*tiny nor in .*weights"):
        load_card(card)


def test_another_class_count_is_refused(card: ModelCard) -> None:
    with pytest.raises(BadWeights, match=r"classifier.*is \[5, .*needs \[6, .*class count"):
        load_card(replace(card, num_classes=6))


def test_another_architecture_is_refused(card: ModelCard) -> None:
    with pytest.raises(BadWeights, match="another architecture"):
        load_card(replace(card, architecture="squeezenet1_1"))
    with pytest.raises(UnknownName, match=r"did you mean.*resnet18"):
        load_card(replace(card, architecture="resnet-18"))


def test_keys_must_be_exactly_the_network_s() -> None:
    network = nn.Linear(2, 2)
    state = dict(network.state_dict())
    with pytest.raises(BadWeights, match="hold 'extra'"):
        load_strictly(network, {**state, "extra": torch.zeros(1)}, "weights")
    with pytest.raises(BadWeights, match="lack 'bias'"):
        load_strictly(network, {"weight": state["weight"]}, "weights")
    with pytest.raises(BadWeights, match="'bias' holds values that are not finite"):
        load_strictly(network, {**state, "bias": torch.tensor([0.0, float("nan")])}, "weights")


def test_a_card_without_weights_says_how_to_train_them(card: ModelCard) -> None:
    with pytest.raises(BadWeights, match=r"has no weights.*harness train --defense standard"):
        load_card(replace(card, weights={}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha256": None}, "sha256 is None"),
        ({"sha256": 3}, "sha256 is 3"),
        ({"file": "../weights.safetensors"}, "name of a file beside the card"),
        ({"file": None}, "neither file nor url"),
    ],
)
def test_unusable_weights_tables_are_bad_cards(card: ModelCard, changes: dict[str, object], message: str) -> None:
    with pytest.raises(BadCard, match=message):
        load_card(with_weights(card, **changes))


def test_the_state_hash_sees_values_and_names() -> None:
    torch.manual_seed(0)
    network = nn.Linear(2, 2)
    first = state_sha256(network)
    assert state_sha256(network) == first
    with torch.no_grad():
        network.bias[0] += 1e-6
    assert state_sha256(network) != first


def test_architectures_take_other_channels_and_refuse_wrong_statistics() -> None:
    network = architectures.build("resnet18", 10, (1, 28, 28), (0.1,), (0.3,)).eval()
    assert network(torch.rand(2, 1, 28, 28)).shape == (2, 10)
    with pytest.raises(Exception, match="2 values for images of 3 channels"):
        architectures.build("resnet18", 10, (3, 32, 32), (0.1, 0.1), (0.3, 0.3))
    with pytest.raises(Exception, match="std > 0"):
        architectures.build("resnet18", 10, (1, 28, 28), (0.1,), (0.0,))
