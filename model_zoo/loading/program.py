"""Files that hold a whole network, not weights alone: TorchScript, ``torch.export``'s programs, and ONNX."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import BadWeights, MissingPackage, UsageError
from harness.types import LoadedModel
from model_zoo.loading.architectures import Normalized
from model_zoo.loading.options import known_only
from model_zoo.loading.weights_file import sha256_of, tensors_alone

ONNX = ".onnx"
_OPTIONS = ("num_classes", "shape", "mean", "std")


class Program(nn.Module):
    """A loaded program as a module: it has no train mode, whatever it is asked for."""

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self.program = program

    def forward(self, images: Tensor) -> Any:
        """What the program returns for images [n,C,H,W]."""
        return self.program(images)

    def train(self, mode: bool = True) -> Program:
        """Only the flag: exported programs refuse to change modes."""
        self.training = mode
        return self


def program_model(
    path: Path,
    kind: str,
    given: dict[str, str],
    shape: tuple[int, int, int] | None,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> LoadedModel:
    """The model in `path`, with ``mean`` and ``std`` put inside; its classes are counted when the data are known.

    Args:
        path: The file.
        kind: ``torchscript``, ``exported`` or ``onnx``.
        given: The options behind its name.
        shape: C, H, W of the images, where the user says it.
        mean: Per channel, of images in [0,1]; empty for none.
        std: Likewise.

    Raises:
        UsageError: an option that such a file does not have.
        MissingPackage: ONNX without onnx2torch.
        BadWeights: it cannot be loaded, or takes batches of one size alone.
    """
    if "arch" in given:
        raise UsageError(f"model {path} holds a whole network ({kind}); leave out arch")
    known_only(given, _OPTIONS, str(path))
    network = {"onnx": _onnx, "torchscript": _torchscript, "exported": _exported}[kind](path)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    model: nn.Module = Program(network).eval()
    model = Normalized(model, mean, std).eval() if mean or std else model
    identity = hashlib.sha256(f"{sha256_of(path)} {(kind, mean, std)}".encode()).hexdigest()
    return LoadedModel(path.stem, model, 0, shape, identity, guessed=True)


def _torchscript(path: Path) -> nn.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the format's future, not of this file
            network: nn.Module = torch.jit.load(path, map_location="cpu")  # runs no Python of the file
        network.eval()
    except Exception as error:  # the interpreter raises whatever the bytes make it raise
        raise BadWeights(f"TorchScript {path} cannot be loaded: {_line(error)}") from None
    return network


def _exported(path: Path) -> nn.Module:
    try:
        with tensors_alone():
            program = torch.export.load(path)
        network: nn.Module = program.module()
    except Exception as error:
        raise BadWeights(f"exported program {path} cannot be loaded: {_line(error)}") from None
    inputs = set(program.graph_signature.user_inputs)
    images = [node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder" and node.name in inputs]
    if len(images) != 1 or not isinstance(images[0], Tensor):
        raise BadWeights(f"exported program {path} takes {len(images)} inputs; expected images alone")
    rows = images[0].shape[0]
    if isinstance(rows, int):
        raise BadWeights(
            f"exported program {path} takes batches of {rows} alone; export it with"
            " dynamic_shapes=({0: torch.export.Dim('n')},)"
        )
    return network


def _onnx(path: Path) -> nn.Module:
    try:
        import onnx2torch  # type: ignore[import-not-found,unused-ignore]
    except ModuleNotFoundError:
        raise MissingPackage(
            f"{path} needs onnx2torch; install it with: pip install 'robustness-harness[onnx]'"
        ) from None
    try:
        network: nn.Module = onnx2torch.convert(path)
    except Exception as error:  # of the converter, for operators that it does not know
        raise BadWeights(f"ONNX file {path} cannot be converted: {_line(error)}") from None
    network.eval()
    return network


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
