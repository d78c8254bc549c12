"""Architectures by name: torchvision's classifiers with the normalization inside."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

import torch
import torchvision
from torch import Tensor, nn

from harness.errors import UnknownName, UsageError

AUXILIARY = ("googlenet", "inception_v3")
"""Architectures that torchvision gives further heads, whose logits train mode returns beside the usual ones."""


class Normalized(nn.Module):
    """A network that takes images in [0,1] and normalizes them itself.

    `mean` and `std` are constants of the card, not of the weights: they are no part of the state dict.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != len(std) or any(not s > 0 for s in std):
            raise UsageError(f"mean {list(mean)} and std {list(std)} need one value a channel, and std > 0")
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [n, classes] of images [n,C,H,W] in [0,1]."""
        logits: Tensor = self.network((images - self.mean) / self.std)
        return logits


def build(
    name: str,
    num_classes: int,
    input_shape: tuple[int, int, int] = (3, 32, 32),
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    auxiliary: bool = False,
) -> nn.Module:
    """A network with random weights, by torchvision's name for it (``resnet18``, ``wide_resnet50_2``, ...).

    Args:
        name: any classification builder of torchvision; the network is used unchanged.
        num_classes: number of logits.
        input_shape: C, H, W of the images; another channel count than 3 replaces the first convolution.
        mean: per-channel mean in [0,1]; empty for no normalization.
        std: per-channel standard deviation.
        auxiliary: with the further heads of `AUXILIARY`, for weights that have them; evaluation does not use them.

    Raises:
        UnknownName: torchvision has no such classifier.
        UsageError: the shape or the statistics do not fit.
    """
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise UnknownName("architecture", name, known)
    channels = input_shape[0]
    if mean and len(mean) != channels:
        raise UsageError(f"mean {list(mean)} has {len(mean)} values for images of {channels} channels")
    heads = {"aux_logits": auxiliary, "init_weights": True} if name in AUXILIARY else {}
    network = torchvision.models.get_model(name, weights=None, num_classes=num_classes, **heads)
    if channels != 3:
        _set_input_channels(network, channels)
    return Normalized(network, mean, std) if mean else network


def _set_input_channels(network: nn.Module, channels: int) -> None:
    for path, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            first = nn.Conv2d(
                channels,
                module.out_channels,
                kernel_size=(module.kernel_size[0], module.kernel_size[1]),
                stride=(module.stride[0], module.stride[1]),
                padding=module.padding if isinstance(module.padding, str) else (module.padding[0], module.padding[1]),
                bias=module.bias is not None,
            )
            replace_module(network, path, first)
            return
    raise UsageError(f"the network has no convolution to take images of {channels} channels")


def has_auxiliary(keys: Iterable[str]) -> bool:
    """Whether a state dict with these keys is of a network built with the further heads of `AUXILIARY`."""
    return any(part.startswith("aux") for key in keys for part in key.lower().split("."))


def check_trainable(model: nn.Module, name: str, num_classes: int, input_shape: tuple[int, int, int]) -> None:
    """Pass two images through a copy of `model` in train mode; neither `model` nor a generator changes.

    Raises:
        UsageError: the architecture cannot take images of that shape, or does not return logits [n, classes].
    """
    shape, advice = "x".join(map(str, input_shape)), "give another --arch, for instance resnet18"
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            out = copy.deepcopy(model).train()(torch.zeros(2, *input_shape))
    except Exception as error:  # each architecture refuses in its own way
        raise UsageError(f"{name} cannot take images of {shape} ({type(error).__name__}: {error}); {advice}") from None
    if not isinstance(out, Tensor) or tuple(out.shape) != (2, num_classes):
        got = list(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise UsageError(f"{name} returns {got} in train mode, not logits {[2, num_classes]} for two images; {advice}")


def unwrap(module: nn.Module) -> nn.Module:
    """The network inside `Normalized`, or `module` itself: what the weights files hold."""
    return module.network if isinstance(module, Normalized) else module


def last_linear(network: nn.Module) -> str | None:
    """Path of the last linear layer, which is the classifier of all torchvision's networks that have one."""
    paths = [path for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    return paths[-1] if paths else None


def replace_module(network: nn.Module, path: str, module: nn.Module) -> None:
    """Put `module` in the place of the one at `path` (dotted, as in `nn.Module.named_modules`)."""
    parent, _, child = path.rpartition(".")
    setattr(network.get_submodule(parent), child, module)
