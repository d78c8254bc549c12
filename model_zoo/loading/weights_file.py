"""Weights files: float16 safetensors, written once and loaded strictly."""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from harness.errors import BadWeights


def sha256_of(path: Path) -> str:
    """Hash of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_weights(network: nn.Module, path: Path) -> None:
    """Kernels and matrices as float16, vectors (biases and batch-norm statistics, which are small) as they are."""
    tensors = {}
    for key, tensor in network.state_dict().items():
        half = tensor.is_floating_point() and tensor.ndim > 1
        tensors[key] = tensor.detach().cpu().to(torch.float16 if half else tensor.dtype).contiguous()
    partial = path.with_name(path.name + ".partial")
    safetensors.torch.save_file(tensors, partial)
    partial.replace(path)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors in `path`, floating ones as float32.

    Raises:
        BadWeights: missing, truncated, or no safetensors file.
    """
    try:
        tensors = safetensors.torch.load_file(path)
    except FileNotFoundError:
        raise BadWeights(f"weights {path} are missing") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise BadWeights(f"weights {path} cannot be read as safetensors ({error}); fetch them again") from None
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}


def load_strictly(network: nn.Module, tensors: dict[str, Tensor], what: str) -> None:
    """Load `tensors`, every key and shape of which must be the network's.

    Raises:
        BadWeights: a key is missing or too many, or a shape differs; names the first one.
    """
    wanted = network.state_dict()
    for key, tensor in wanted.items():
        if key not in tensors:
            raise BadWeights(f"{what} lack {key!r}: they are of another architecture")
        if tensors[key].shape != tensor.shape:
            raise BadWeights(
                f"{what}: {key!r} is {list(tensors[key].shape)}, the network needs {list(tensor.shape)}"
                " (another class count or architecture)"
            )
    surplus = [key for key in tensors if key not in wanted]
    if surplus:
        raise BadWeights(f"{what} hold {surplus[0]!r}, which the network does not know: another architecture")
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise BadWeights(f"{what}: {key!r} holds values that are not finite")
    network.load_state_dict(tensors, strict=True)


def state_sha256(module: nn.Module) -> str:
    """Hash of a module's parameters and buffers, also those no file holds: its identity without a weights file."""
    digest = hashlib.sha256()
    for key, tensor in (*module.named_parameters(), *module.named_buffers()):
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def read_tensors(path: Path) -> Any:
    """What somebody saved at `path` with torch, on the CPU: tensors and plain containers of them.

    Raises:
        BadWeights: unreadable, or loading it would run code.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that are none of torch's; they are refused below
            return torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251  # runs no code
    except Exception as error:  # the unpickler raises whatever the bytes make it raise
        raise BadWeights(
            f"weights {path} cannot be read as tensors alone ({_cause(error)}); save model.state_dict()"
        ) from None


def _cause(error: Exception) -> str:
    """What torch says at the end of a page of advice."""
    text = " ".join(str(error).split()).partition("Check the documentation of torch.load")[0].strip()
    if held := re.search(r"Unsupported global: GLOBAL (\S+)", text):
        return f"they hold {held[1]}, whose code would run"
    return (text.rpartition("WeightsUnpickler error: ")[2] or type(error).__name__)[:160]


@contextmanager
def tensors_alone() -> Iterator[None]:
    """Whatever is unpickled within the block may hold tensors and plain containers, and no code."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
