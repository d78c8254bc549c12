"""``FILE?arch=NAME``: a state dict somebody saved, with the architecture it belongs to.

RobustBench's checkpoints are such files: ``Wong2020Fast.pt?arch=nets.py:preact&num_classes=10`` with the architecture
in a file of one's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from harness.errors import BadWeights, PluginError, UsageError
from harness.types import LoadedModel
from model_zoo.loading import architectures
from model_zoo.loading.weights_file import load_strictly, read_tensors, read_weights, sha256_of
from model_zoo.numbers import number

ENDINGS = (".pt", ".pth", ".bin", ".ckpt", ".tar", ".safetensors")
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "ema")
"""Keys under which training scripts put the state dict, beside optimizer and epoch."""
PREFIXES = ("module.", "model.", "_orig_mod.")
"""What wrappers of the network put before every key."""
_OPTIONS = ("arch", "num_classes", "shape", "mean", "std", "key")


def state_dict_model(text: str) -> LoadedModel | None:
    """``weights.pt?arch=resnet18&num_classes=10&shape=3x32x32&mean=0.49,0.48,0.45&std=0.25,0.24,0.26``.

    ``arch`` is a classifier of torchvision, ``timm/NAME``, or ``file.py:function`` with a function that returns the
    network with random weights. ``mean`` and ``std`` are put inside the model; leave them out where the network
    normalizes itself. ``key`` names the entry of the file that holds the state dict, if it is none of the usual ones.

    Raises:
        UsageError: no such file, no ``arch``, or an option that is unknown or no number.
        UnknownName: no such architecture.
        BadWeights: not readable without running code of the file, or of another architecture.
    """
    from model_zoo.loading.options import options

    file = text.partition("?")[0]
    if not file.endswith(ENDINGS):
        return None
    given, path = options(text), Path(file)
    if not path.is_file():
        raise UsageError(f"weights file {path} does not exist")
    if unknown := [key for key in given if key not in _OPTIONS]:
        raise UsageError(f"model {text!r} has the unknown option {unknown[0]!r}; known: {', '.join(_OPTIONS)}")
    if "arch" not in given:
        raise UsageError(
            f"model {text!r} is a file of weights; add its architecture: {file}?arch=resnet18&num_classes=10"
        )
    shape = _shape(given.get("shape", "3x32x32"))
    classes = int(number(given.get("num_classes", "10"), "num_classes"))
    mean, std = (
        tuple(number(v, key) for v in given[key].split(",")) if key in given else () for key in ("mean", "std")
    )
    tensors = _tensors(path, given.get("key"))
    network = _network(given["arch"], classes, shape, architectures.has_auxiliary(tensors))
    load_strictly(network, tensors, f"weights {path}")
    model = architectures.Normalized(network, mean, std) if mean or std else network
    key = [given["key"]] if given.get("key") else []  # without one, models keep the identity they always had
    return LoadedModel(path.stem, model.eval(), classes, shape, _identity(path, given["arch"], mean, std, *key))


def _identity(path: Path, *settings: object) -> str:
    """Hash of the file and of what the answers depend on beside it."""
    return hashlib.sha256(f"{sha256_of(path)} {settings}".encode()).hexdigest()


def _shape(text: str) -> tuple[int, int, int]:
    try:
        channels, height, width = (int(side) for side in text.split("x"))
    except ValueError:
        raise UsageError(f"shape is {text!r}; give channels, height and width as 3x32x32") from None
    return channels, height, width


def _network(arch: str, classes: int, shape: tuple[int, int, int], auxiliary: bool) -> nn.Module:
    """The architecture with random weights; one of torchvision's with its auxiliary heads if the weights have them."""
    if ".py:" in arch:
        from model_zoo.loading.python_file import call_file

        made = call_file(arch)
        if not isinstance(made, nn.Module):
            raise PluginError(f"{arch} returns {type(made).__name__}; expected the network, a torch.nn.Module")
        return made
    if arch.startswith("timm/"):
        from model_zoo.loading.pretrained import timm_package

        return timm_package(arch).create_model(  # type: ignore[no-any-return]
            arch.removeprefix("timm/"), pretrained=False, num_classes=classes, in_chans=shape[0]
        )
    return architectures.build(arch, classes, shape, auxiliary=auxiliary)


def _tensors(path: Path, key: str | None) -> dict[str, Tensor]:
    content: Any = read_weights(path) if path.suffix == ".safetensors" else read_tensors(path)
    for name in [key] if key else WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
            break
    else:
        if key:
            raise BadWeights(f"weights {path} have no entry {key!r}; they have {', '.join(map(str, content))[:200]}")
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise BadWeights(f"weights {path} hold no state dict; name its entry with key=..., or save model.state_dict()")
    tensors = dict(content)
    for prefix in PREFIXES:
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
