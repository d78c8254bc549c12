"""Settings of torch and of modules that are changed for a while and come back: modes, TF32, devices, buffers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, get_args

import torch
from torch import Tensor, nn


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    """Copies of all buffers."""
    return {name: tensor.clone() for name, tensor in module.named_buffers()}


def changed_buffers(before: Mapping[str, Tensor], module: nn.Module) -> list[str]:
    """Names of the buffers that are no longer what they were at the `snapshot`."""

    def same(old: Tensor | None, now: Tensor) -> bool:
        return old is not None and old.shape == now.shape and bool(torch.equal(old, now))

    return [name for name, now in module.named_buffers() if not same(before.get(name), now)]


@contextmanager
def kept_settings() -> Iterator[None]:
    """Torch's default dtype, thread count and arithmetic switches come back as they were."""
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    switches = cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic, cudnn.benchmark
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic, cudnn.benchmark = switches


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """Every submodule in eval mode within the block, and back in its own mode afterwards.

    Batch norm then uses its running statistics and does not update them, so the result for an image does not depend on
    its batch, and computing it leaves no trace in the module.
    """
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """`eval_mode`, and no parameter gradients; every `requires_grad` comes back."""
    flags = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    with eval_mode(module):
        module.requires_grad_(False)
        try:
            yield
        finally:
            for parameter, flag in flags:
                parameter.requires_grad_(flag)


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """TF32 off, deterministic cuDNN kernels; the user's settings come back."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic, cudnn.benchmark
    cudnn.allow_tf32 = matmul.allow_tf32 = cudnn.benchmark = False
    cudnn.deterministic = True
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic, cudnn.benchmark = before


@contextmanager
def at_device(module: nn.Module, device: torch.device) -> Iterator[None]:
    """The module on `device` within the block; it goes home afterwards."""
    first = next((tensor for tensor in (*module.parameters(), *module.buffers())), None)
    home = first.device if first is not None else device
    if home != device:
        module.to(device)
    try:
        yield
    finally:
        if home != device:
            module.to(home)


Precision = Literal["float32", "tf32", "bf16"]


PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@contextmanager
def arithmetic(precision: Precision) -> Iterator[None]:
    """Within the block TF32 is allowed, if that is the precision; `ReferenceModel.logits` never uses it."""
    if precision != "tf32":
        yield
        return
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = True
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before
