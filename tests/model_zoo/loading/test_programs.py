"""Whole networks in a file (TorchScript, exported programs, ONNX) and in other packages (transformers, RobustBench)."""

import sys
import types
import warnings
from enum import Enum
from importlib import metadata

import pytest
import torch
from torch import nn

import harness
from harness.errors import BadWeights, MissingPackage, UnknownName, UsageError
from harness.inputs.find import find_model
from harness.types import Claim

SHAPE = (3, 8, 8)
IMAGES = torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.Linear(144, 5)).eval()


def script(module, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.trace(module, IMAGES[:2]).save(name)


def export(module, name, dynamic=True):
    shapes = ({0: torch.export.Dim("n")},) if dynamic else None
    torch.export.save(torch.export.export(module, (IMAGES[:2],), dynamic_shapes=shapes), name)


@pytest.mark.parametrize(("save", "name"), [(script, "net.pt"), (script, "net.torchscript"), (export, "net.pt2")])
def test_programs_are_attacked_as_the_network_they_are_of(work, save, name):
    module = network()
    save(module, name)
    labels = module(IMAGES).argmax(1)
    text = f"{name}?num_classes=5"
    runs = [
        harness.evaluate(one, "fgsm", (IMAGES, labels), eps=["8/255"], results=work, progress=False, force=True)
        for one in (module, text)
    ]
    assert all(run.complete for run in runs)
    assert runs[0].robust_accuracy("8/255") == runs[1].robust_accuracy("8/255")
    assert runs[1].verify().ok
    model = find_model(f"{name}?mean=0.5,0.5,0.5&std=0.2,0.2,0.2")
    with torch.no_grad():
        torch.testing.assert_close(model.module(IMAGES), module((IMAGES - 0.5) / 0.2))
    assert model.weights_sha256 != find_model(text).weights_sha256


def test_programs_that_cannot_be_attacked_are_a_line(work):
    export(network(), "static.pt2", dynamic=False)
    script(network(), "net.pt")
    (work / "broken.onnx").write_bytes(b"no onnx")
    with pytest.raises(BadWeights, match=r"takes batches of 2 alone; export it with dynamic_shapes"):
        find_model("static.pt2")
    with pytest.raises(UsageError, match=r"holds a whole network \(torchscript\); leave out arch"):
        find_model("net.pt?arch=resnet18")
    with pytest.raises(UsageError, match="unknown option 'key'"):
        find_model("net.pt?key=net")
    with pytest.raises(UsageError, match=r"gone\.onnx does not exist"):
        find_model("gone.onnx")


def test_onnx_without_its_package_names_the_extra(work, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx2torch", None)
    (work / "net.onnx").write_bytes(b"onnx")
    with pytest.raises(MissingPackage, match=r"net\.onnx needs onnx2torch.*robustness-harness\[onnx\]"):
        find_model("net.onnx")


def test_onnx_by_its_converter(work, monkeypatch):
    fake = types.ModuleType("onnx2torch")
    fake.convert = lambda path: network().train()
    monkeypatch.setitem(sys.modules, "onnx2torch", fake)
    (work / "net.onnx").write_bytes(b"onnx")
    with torch.no_grad():
        torch.testing.assert_close(find_model("net.onnx").module(IMAGES), network()(IMAGES))

    def fails(path):
        raise NotImplementedError("Converter is not implemented (Loop)")

    fake.convert = fails
    with pytest.raises(BadWeights, match=r"net\.onnx cannot be converted: NotImplementedError.*Loop"):
        find_model("net.onnx")


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.network, self.config = network(), types.SimpleNamespace(num_labels=5)

    def forward(self, pixel_values):
        return types.SimpleNamespace(logits=self.network(pixel_values), hidden_states=None)


def test_image_classifiers_of_transformers(monkeypatch):
    fake = types.ModuleType("transformers")
    processor = types.SimpleNamespace(
        image_mean=[0.5, 0.4, 0.3], image_std=[0.2, 0.2, 0.1], do_normalize=True, size={"height": 8, "width": 8}
    )

    def from_pretrained(what, name, local_files_only):
        if name != "here/net":
            raise OSError(f"no file config.json in {name}")
        return what

    def auto(make):
        return types.SimpleNamespace(from_pretrained=lambda name, **kw: from_pretrained(make(), name, **kw))

    fake.AutoModelForImageClassification, fake.AutoImageProcessor = auto(Classifier), auto(lambda: processor)
    monkeypatch.setitem(sys.modules, "transformers", fake)
    model = find_model("transformers:here/net")
    assert (model.name, model.num_classes, model.input_shape) == ("net", 5, SHAPE)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in ([0.5, 0.4, 0.3], [0.2, 0.2, 0.1]))
    with torch.no_grad():
        torch.testing.assert_close(model.module(IMAGES), network()((IMAGES - mean) / std))
    with pytest.raises(BadWeights, match=r"transformers:gone cannot be loaded .*no file config\.json"):
        find_model("transformers:gone")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingPackage, match=r"robustness-harness\[transformers\]"):
        find_model("transformers:here/net")


# ruff: noqa: E501
DESCRIPTION = """
### CIFAR-10
#### Linf, eps=8/255
| <sub>#</sub> | <sub>Model ID</sub> | <sub>Clean accuracy</sub> |
| <sub>**1**</sub> | <sub><sup>**Tiny2020**</sup></sub> | <sub>*[A](b)*</sub> | <sub>83.34%</sub> | <sub>43.21%</sub> | <sub>Tiny-18</sub> | <sub>X</sub> |
#### Common Corruptions
| <sub>**1**</sub>  | <sub><sup>**Tiny2020**</sup></sub>  | <sub>*[A](b)*</sub> |  <sub>95.08%</sub>  |  <sub>88.82%</sub>  | <sub>Tiny-40-2</sub>  | <sub>X</sub> |
### CIFAR-100
#### Corruptions
| <sub>**1**</sub> | <sub><sup>**Tiny2020**</sup></sub> | <sub>*[A](b)*</sub> | <sub>76.28%</sub> | <sub>64.11%</sub> | <sub>C</sub> | <sub>X</sub> |
"""


@pytest.fixture
def package(monkeypatch):
    """RobustBench as far as it is used: a table of models, `load_model`, and the description of its distribution."""
    sets, threats = Enum("Sets", {"a": "cifar10"}), Enum("Threats", {"a": "Linf", "b": "corruptions"})
    entry = {"model": lambda: nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)), "gdrive_id": "x"}
    table = {"Tiny2020": entry, "Deck2021": entry | {"gdrive_id": ["x", "y"]}}
    top, zoo, utils = (types.ModuleType(f"robustbench{part}") for part in ("", ".model_zoo", ".utils"))
    zoo.model_dicts = {sets.a: {threats.a: table, threats.b: table}}

    def load_model(name, model_dir, dataset, threat_model):
        network = entry["model"]()
        network.load_state_dict(torch.load(f"{model_dir}/{dataset}/{threat_model}/{name}.pt", weights_only=False))  # noqa: TID251
        return network

    utils.load_model = load_model
    top.model_zoo, top.utils = zoo, utils
    for module in (top, zoo, utils):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    told = types.SimpleNamespace(json={"description": DESCRIPTION})
    monkeypatch.setattr(metadata, "metadata", lambda name: told)
    return entry


@pytest.mark.parametrize(
    ("threat", "clean", "robust", "attacked", "architecture"),
    [
        ("Linf", 0.8334, 0.4321, "linf 8/255, AutoAttack", "Tiny-18"),
        ("corruptions", 0.9508, 0.8882, "corruptions", "Tiny-40-2"),
    ],
)
def test_robustbench_s_models_with_published_claims(work, package, threat, clean, robust, attacked, architecture):
    folder = work / "models" / "cifar10" / threat
    folder.mkdir(parents=True)
    network = package["model"]()
    torch.save(network.state_dict(), folder / "Tiny2020.pt")
    model = find_model(f"robustbench:cifar10/{threat}/Tiny2020")
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(model.module(images), network(images))
    assert (model.name, model.num_classes, model.input_shape) == ("Tiny2020", 10, (3, 32, 32))
    assert model.card.architecture == architecture
    assert model.card.claims["cifar10-test"].n == 10_000
    assert model.card.claims["cifar10-test"].accuracy == pytest.approx(clean)
    assert model.card.claims[f"cifar10-test ({attacked})"] == Claim(pytest.approx(robust), 10_000)
    assert model.card.trained_for == ({"norm": "linf", "epsilon": "8/255"} if threat == "Linf" else {})


def test_robustbench_s_faults(work, package, monkeypatch):
    with pytest.raises(BadWeights, match=r"expected at .*/models/cifar10/Linf/Tiny2020\.pt; robustbench\.utils\.load"):
        find_model("robustbench:cifar10/Linf/Tiny2020")
    with pytest.raises(BadWeights, match=r"/elsewhere/cifar10/Linf/Deck2021\.pt_m0\.pt"):
        find_model("robustbench:cifar10/Linf/Deck2021?models=elsewhere")
    with pytest.raises(UnknownName, match="'Tiny2021'; did you mean 'Tiny2020'"):
        find_model("robustbench:cifar10/Linf/Tiny2021")
    with pytest.raises(UnknownName, match=r"threat model for cifar10 'L1'"):
        find_model("robustbench:cifar10/L1/Tiny2020")
    with pytest.raises(UsageError, match="robustbench:cifar10/Linf/NAME"):
        find_model("robustbench:Tiny2020")
    folder = work / "models" / "cifar10" / "Linf"
    folder.mkdir(parents=True)
    torch.save(package["model"](), folder / "Tiny2020.pt")  # code, which is not run
    with pytest.raises(BadWeights, match="cannot be loaded from models/cifar10/Linf"):
        find_model("robustbench:cifar10/Linf/Tiny2020")
    (folder / "Tiny2020.pt").write_bytes(b"<html>quota exceeded")
    with pytest.raises(BadWeights, match="a web page saved under that name"):
        find_model("robustbench:cifar10/Linf/Tiny2020")
    monkeypatch.setitem(sys.modules, "robustbench", None)
    with pytest.raises(MissingPackage, match="needs RobustBench"):
        find_model("robustbench:cifar10/Linf/Tiny2020")
