"""Models that are not plugins, by the text behind ``--model``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn
from zoo import make_checkpoint

from harness.errors import BadCard, BadWeights, MissingPackage, PluginError, UnknownName, UsageError
from model_zoo.loading.python_file import with_contract
from model_zoo.loading.sources import resolve

FILE = """
import torch
from harness.errors import UsageError

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(12, 4)
    def forward(self, x):
        return self.layer(x.flatten(1))

def plain():
    return Net()

def described():
    torch.manual_seed(0)
    return Net(), {"num_classes": 4, "input_shape": (3, 2, 2), "mean": [0.5] * 3, "std": [0.25] * 3, "name": "mine"}

def convolution():
    return torch.nn.Conv2d(3, 4, 2)

def fails():
    raise RuntimeError("out of ideas")

def text():
    return "model"

def unknown_key():
    return Net(), {"classes": 4}

def bad_shape():
    return Net(), {"input_shape": (2, 2)}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my_models.py"
    path.write_text(FILE)
    return path


def test_plain_names_are_not_for_sources() -> None:
    assert resolve("trades") is None
    assert resolve("no/such/folder") is None


def test_a_card_and_its_folder_are_the_same_model(tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "tiny")
    by_folder, by_card = resolve(str(tmp_path / "tiny")), resolve(str(tmp_path / "tiny" / "card.toml"))
    assert by_folder is not None
    assert by_card is not None
    assert by_folder.weights_sha256 == by_card.weights_sha256
    assert by_folder.name == "tiny"


def test_a_folder_without_a_card_says_why(tmp_path: Path) -> None:
    with pytest.raises(BadCard, match=r"holds no card\.toml: give a training's output"):
        resolve(str(tmp_path))
    (tmp_path / "resume.pt").touch()
    with pytest.raises(BadCard, match="has not finished"):
        resolve(str(tmp_path))


def test_a_function_gives_a_module(file: Path) -> None:
    model = resolve(f"{file}:plain")
    assert model is not None
    assert (model.name, model.num_classes, model.input_shape) == ("my_models:plain", 4, None)
    assert not model.module.training


def test_a_described_module_is_normalized_inside(file: Path) -> None:
    model = resolve(f"{file}:described")
    assert model is not None
    assert (model.name, model.num_classes, model.input_shape) == ("mine", 4, (3, 2, 2))
    torch.manual_seed(0)
    layer = nn.Linear(12, 4)
    images = torch.rand(2, 3, 2, 2)
    torch.testing.assert_close(model.module(images), layer(((images - 0.5) / 0.25).flatten(1)))
    again = resolve(f"{file}:described")
    assert again is not None
    assert again.weights_sha256 == model.weights_sha256


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        ("gone", UsageError, "no function 'gone'; it has .*plain"),
        ("fails", PluginError, "RuntimeError: out of ideas"),
        ("text", PluginError, "returns str"),
        ("unknown_key", PluginError, "unknown key 'classes'"),
        ("bad_shape", PluginError, "input_shape"),
    ],
)
def test_a_function_s_faults_are_named(file: Path, function: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        resolve(f"{file}:{function}")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("num_classes", "ten", "num_classes is 'ten'; expected a whole number"),
        ("num_classes", 0, "num_classes is 0; expected a whole number of at least 1"),
        ("num_classes", True, "num_classes is True"),
        ("input_shape", 32, r"input_shape is 32; expected \(channels, height, width\)"),
        ("input_shape", "3,2", "input_shape is '3,2'"),
        ("mean", 0.5, r"mean is 0\.5; expected finite numbers, one a channel"),
        ("mean", None, "mean is None; expected finite numbers"),
        ("std", ["a", "b", "c"], "std is .*; expected finite numbers"),
        ("std", [float("nan")] * 3, "std is .*; expected finite numbers"),
        ("name", 7, "name is 7; expected text"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(key: str, value: object, message: str) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
    with pytest.raises(PluginError, match=rf"my\.py:net: {message}"):
        with_contract(module, {key: value}, "net", "my.py:net")


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.py does not exist"):
        resolve(f"{tmp_path}/gone.py:model")
    (tmp_path / "broken.py").write_text("def broken(:")
    with pytest.raises(PluginError, match=r"broken\.py cannot be imported: SyntaxError"):
        resolve(f"{tmp_path}/broken.py:model")
    with pytest.raises(UsageError, match=r"write .*broken\.py:function"):
        resolve(f"{tmp_path}/broken.py")


def test_torchvision_s_preprocessing_is_put_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = torchvision.models.mobilenet_v3_small(weights=None).eval()
    kind = torchvision.models.MobileNet_V3_Small_Weights
    monkeypatch.setattr(kind, "get_state_dict", lambda self, **_: network.state_dict())
    model = resolve("torchvision:mobilenet_v3_small")
    assert model is not None
    assert (model.name, model.num_classes, model.input_shape) == (
        "mobilenet_v3_small-IMAGENET1K_V1",
        1000,
        (3, 224, 224),
    )
    images = torch.rand(1, 3, 64, 64)
    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(model.module(images), network((images - mean) / std))


def test_torchvision_s_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownName, match="resnet50"):
        resolve("torchvision:resnet5")
    with pytest.raises(UnknownName, match="IMAGENET1K_V1"):
        resolve("torchvision:resnet18?weights=IMAGENET1K_V9")
    with pytest.raises(UsageError, match="unknown option 'weight'"):
        resolve("torchvision:resnet18?weight=DEFAULT")

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", refuse)
    with pytest.raises(BadWeights, match=r"cannot be fetched .*no network"):
        resolve("torchvision:resnet18")


def test_timm_is_asked_for_when_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingPackage, match=r"robustness-harness\[timm\]"):
        resolve("timm:resnet18")
