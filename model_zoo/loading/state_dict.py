"""``FILE?arch=NAME``: a state dict somebody saved, with the architecture it belongs to.

RobustBench's checkpoints are such files: ``Wong2020Fast.pt?arch=nets.py:preact&num_classes=10`` with the architecture
in a file of one's own.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from torch import nn

from harness.errors import PluginError, UsageError
from harness.types import LoadedModel
from model_zoo.loading import architectures
from model_zoo.loading.checkpoint import entries, fitting
from model_zoo.loading.file_kind import kind_of
from model_zoo.loading.options import known_only, split
from model_zoo.loading.program import ONNX, program_model
from model_zoo.loading.weights_file import load_strictly, read_tensors, read_weights, sha256_of
from model_zoo.numbers import number

ENDINGS = (".pt", ".pth", ".bin", ".ckpt", ".tar", ".safetensors", ".t7", ".pkl", ".pickle", ".pt2", ".th", ".model")
"""Files that are weights even where they do not exist; one that exists may be called anything."""
_OPTIONS = ("arch", "num_classes", "shape", "mean", "std", "key", "prefix")


def state_dict_model(text: str) -> LoadedModel | None:
    """``weights.pt?arch=resnet18&num_classes=10&shape=3x32x32&mean=0.49,0.48,0.45&std=0.25,0.24,0.26``.

    ``arch`` is a classifier of torchvision, ``timm/NAME``, or ``file.py:function`` with a function that returns the
    network with random weights. ``mean`` and ``std`` are put inside the model; leave them out where the network
    normalizes itself. ``key`` names the entry of the file that holds the state dict (``key=outer.inner`` for one inside
    another), ``prefix`` what stands before the names of the network's tensors; both only where there is a choice. With
    ``shape``, images of another one are refused; without it torchvision's networks are built for 3x32x32.

    A file that holds a whole program (`model_zoo.loading.program`) needs no ``arch``.

    Raises:
        UsageError: no such file, no ``arch``, or an option that is unknown or no number.
        UnknownName: no such architecture.
        BadWeights: not readable without running code of the file, of another architecture, or several state dicts that
            would fit.
    """
    file, given = split(text)
    path = Path(file)
    if path.suffix in (".py", ".toml") or path.is_dir():
        return None
    if not path.is_file():
        if file.endswith((*ENDINGS, ONNX)) or "arch" in given:
            raise UsageError(f"weights file {path} does not exist")
        return None
    shape = _shape(given["shape"]) if "shape" in given else None
    mean, std = (
        tuple(number(v, key) for v in given[key].split(",")) if key in given else () for key in ("mean", "std")
    )
    kind = "onnx" if file.endswith(ONNX) else kind_of(path)
    if kind in ("torchscript", "exported", "onnx"):
        return program_model(path, kind, given, shape, mean, std)
    known_only(given, _OPTIONS, text)
    if "arch" not in given:
        raise UsageError(
            f"model {text!r} is a file of weights; add its architecture: {file}?arch=resnet18&num_classes=10"
        )
    classes = int(number(given.get("num_classes", "10"), "num_classes"))
    found = entries(read_weights(path) if kind == "safetensors" else read_tensors(path), path, given.get("key"))
    names = [name for tensors in found.values() for name in tensors]
    network = _network(given["arch"], classes, shape or (3, 32, 32), architectures.has_auxiliary(names))
    load_strictly(network, fitting(found, network, path, given.get("prefix")), f"weights {path}")
    model = architectures.Normalized(network, mean, std) if mean or std else network
    model.eval()  # what it returns is not asked: some overrides return nothing
    # Without these options models keep the identity they always had.
    chosen = [given["key"]] if given.get("key") else []
    chosen += [f"prefix={given['prefix']}"] if given.get("prefix") else []
    sha256 = _identity(path, given["arch"], mean, std, *chosen)
    counted = "num_classes" not in given and ".py:" in given["arch"]  # the file knows, the 10 above is a guess
    return LoadedModel(path.stem, model, classes, shape, sha256, guessed=counted)


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
        from model_zoo.loading.own_file import call_file

        made: Any = call_file(arch)
        if not isinstance(made, nn.Module):
            raise PluginError(f"{arch} returns {type(made).__name__}; expected the network, a torch.nn.Module")
        return made
    if arch.startswith("timm/"):
        from model_zoo.loading.pretrained import timm_package

        return timm_package(arch).create_model(  # type: ignore[no-any-return]
            arch.removeprefix("timm/"), pretrained=False, num_classes=classes, in_chans=shape[0]
        )
    return architectures.build(arch, classes, shape, auxiliary=auxiliary)
