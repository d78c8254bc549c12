"""Models from anywhere: any size, one or three channels, any number of classes, with normalization inside."""

import hashlib
import warnings

import pytest
import safetensors.torch
import torch
from torch import nn

import harness
from harness.errors import BadWeights, MissingPackage, UnknownName, UsageError
from harness.inputs.find import find_model
from model_zoo.loading import pretrained
from model_zoo.loading.weights_file import sha256_of

NETS = """
from torch import nn

def digits():
    return nn.Sequential(nn.Conv2d(1, 4, 5, 2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 12 * 12, 10))

def classifier():
    return digits(), {"num_classes": 10, "input_shape": (1, 28, 28), "mean": [0.13], "std": [0.31]}
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(NETS)
    return tmp_path


def digits():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 5, 2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 12 * 12, 10))


def measured(model, shape, classes, tmp_path):
    """A whole evaluation on four images; labels are the model's own, so the doctor has no quarrel with them."""
    images = torch.rand(4, *shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        labels = model.module.eval()(images).argmax(1)
    data = (images, labels)
    return harness.evaluate(model, "fgsm", data, eps=["2/255"], results=tmp_path / "r", progress=False, force=True)


@pytest.mark.parametrize("wrapped", [None, "state_dict", "mine"])
def test_a_state_dict_with_its_architecture_gray_28x28(work, wrapped):
    network = digits()
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({wrapped: state, "epoch": 3} if wrapped else state, "digits.pt")
    key = "&key=mine" if wrapped == "mine" else ""
    text = f"digits.pt?arch=nets.py:digits&num_classes=10&shape=1x28x28&mean=0.13&std=0.31{key}"
    model = find_model(text)
    images = torch.rand(2, 1, 28, 28)
    with torch.no_grad():
        assert torch.allclose(model.module(images), network((images - 0.13) / 0.31), atol=1e-5)
    assert (model.name, model.num_classes, model.input_shape) == ("digits", 10, (1, 28, 28))
    assert find_model(text.replace("0.31", "0.3")).weights_sha256 != model.weights_sha256
    assert measured(model, (1, 28, 28), 10, work).complete


def test_two_state_dicts_in_one_file_are_two_models(work):
    first, second = digits().state_dict(), {name: -tensor for name, tensor in digits().state_dict().items()}
    torch.save({"net": first, "average": second}, "digits.pt")
    text = "digits.pt?arch=nets.py:digits&num_classes=10&shape=1x28x28"
    net, average = (find_model(text + key).weights_sha256 for key in ("&key=net", "&key=average"))
    assert net != average
    torch.save({"net": first, "epoch": 3}, "digits.pt")
    usual = find_model(text).weights_sha256
    inner = f"{sha256_of(work / 'digits.pt')} {('nets.py:digits', (), ())}"
    assert usual == hashlib.sha256(inner.encode()).hexdigest()  # as it was before there were keys in it


@pytest.mark.parametrize("auxiliary", [False, True])
def test_weights_of_googlenet_may_have_its_auxiliary_heads(work, auxiliary):
    from model_zoo.loading.architectures import build, has_auxiliary

    state = build("googlenet", 5, auxiliary=auxiliary).state_dict()
    assert has_auxiliary(state) == auxiliary
    safetensors.torch.save_file(state, "google.safetensors")
    model = find_model("google.safetensors?arch=googlenet&num_classes=5")
    assert model.module(torch.rand(2, 3, 32, 32)).shape == (2, 5)


def test_a_state_dict_for_cifar_and_safetensors(work):
    from model_zoo.loading.architectures import build

    network = build("squeezenet1_1", 10, (3, 32, 32))
    safetensors.torch.save_file(network.state_dict(), "squeeze.safetensors")
    text = "squeeze.safetensors?arch=squeezenet1_1&num_classes=10"
    assert find_model(f"{text}&shape=3x32x32").input_shape == (3, 32, 32)
    model = find_model(text)
    assert model.input_shape is None  # nobody said so: the data's are tried
    assert measured(model, (3, 32, 32), 10, work).complete


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("absent.pt?arch=resnet18", UsageError, "absent.pt does not exist"),
        ("digits.pt", UsageError, "add its architecture: digits.pt[?]arch="),
        ("digits.pt?arch=resnet18&size=3", UsageError, "unknown option 'size'"),
        ("digits.pt?arch=resnet81", UnknownName, "unknown architecture 'resnet81'"),
        ("digits.pt?arch=resnet18", BadWeights, "lack 'conv1.weight': they are of another architecture"),
        ("digits.pt?arch=resnet18&shape=32", UsageError, "give channels, height and width as 3x32x32"),
        ("digits.pt?arch=resnet18&key=net", BadWeights, "have no entry 'net'"),
        ("code.pt?arch=resnet18", BadWeights, "cannot be read as tensors alone"),
        ("list.pt?arch=resnet18", BadWeights, "hold no state dict"),
    ],
)
def test_what_cannot_be_loaded_says_why(work, text, error, message):
    torch.save(digits().state_dict(), "digits.pt")
    torch.save(digits(), "code.pt")
    torch.save([1, 2], "list.pt")
    with pytest.raises(error, match=message):
        find_model(text)


class FakeTimm:
    """timm without its hub."""

    def __init__(self, real):
        self.real = real

    def __getattr__(self, name):
        return getattr(self.real, name)

    def create_model(self, name, pretrained):
        assert pretrained
        return self.real.create_model(name.rpartition("/")[2], pretrained=False)


@pytest.mark.parametrize(
    "text", ["timm:mobilenetv3_small_050.lamb_in1k", "hf-hub:timm/mobilenetv3_small_050.lamb_in1k"]
)
def test_timm_at_224_with_its_normalization_inside(work, text, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        timm = pytest.importorskip("timm")
        monkeypatch.setattr(pretrained, "timm_package", lambda text: FakeTimm(timm))
        torch.manual_seed(0)
        model = find_model(text)
    assert model.input_shape == (3, 224, 224)
    assert model.num_classes == 1000
    assert model.name == "mobilenetv3_small_050.lamb_in1k"
    assert model.module.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert measured(model, (3, 224, 224), 1000, work).complete


def test_without_timm_the_extra_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingPackage, match=r"robustness-harness\[timm\]"):
        find_model("hf-hub:timm/resnet18.a1_in1k")


def test_a_file_s_function_with_its_contract(work):
    model = find_model("nets.py:classifier")
    assert (model.num_classes, model.input_shape) == (10, (1, 28, 28))
