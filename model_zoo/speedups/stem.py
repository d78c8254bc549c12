"""The input gradient of a strided first convolution, computed as a plain convolution; for the CPU.

The first layer of an ImageNet network has a large kernel, a stride, and three input channels. The CPU kernels for its
input gradient are slow: on a 32x32 ResNet-18 they take a quarter of forward and backward together. But the gradient at
the pixels of one phase (row and column modulo the stride) is a stride-1 convolution of the output's gradient with every
stride-th tap of the kernel. All phases are computed as channels of one convolution and then shuffled into place: the
sub-pixel convolution of Shi et al. 2016 (arXiv:1609.05158), run as a backward pass.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from model_zoo.speedups.tiny_maps import DenseConv2d

MOST_CHANNELS = 4
"""Of the input; with more, the usual kernels do well."""
Edges = tuple[tuple[int, int], tuple[int, int]]
"""Zeros above and below, and to the left and right."""


class PhasedConv2d(nn.Conv2d):
    """`nn.Conv2d`, frozen, whose input gradient is computed phase by phase; differentiable once."""

    def forward(self, input: Tensor) -> Tensor:
        """Feature maps [n,C,H,W] to [n,C',H',W'], as `nn.Conv2d`."""
        divides = all(side % step == 0 for side, step in zip(input.shape[-2:], self.stride, strict=True))
        frozen = not self.weight.requires_grad and (self.bias is None or not self.bias.requires_grad)
        if not (divides and frozen and input.requires_grad and torch.is_grad_enabled()):
            return super().forward(input)
        out: Tensor = _Phased.apply(input, self)
        return out

    def phases(self, size: tuple[int, int], out: tuple[int, int]) -> tuple[Tensor, Edges]:
        """`_phases`, computed once for weights as they are."""
        key = (*size, *out, self.weight.data_ptr(), self.weight._version)
        kept: dict[tuple[int, ...], tuple[Tensor, Edges]] = self.__dict__.setdefault("_kept", {})
        if key not in kept:
            kept.clear()
            with torch.inference_mode(False), torch.no_grad():
                kept[key] = _phases(self, size, out)
        return kept[key]


class _Phased(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, conv: PhasedConv2d) -> Tensor:
        ctx.conv, ctx.size = conv, tuple(images.shape[-2:])
        out: Tensor = conv._conv_forward(images, conv.weight, conv.bias)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return input_gradient(gradient, ctx.conv, ctx.size), None


def input_gradient(gradient: Tensor, conv: PhasedConv2d, size: tuple[int, int]) -> Tensor:
    """The gradient [n,C,H,W] at an input of `size` from that at the output [n,C',H',W']."""
    out = (int(gradient.shape[-2]), int(gradient.shape[-1]))
    taps, ((top, bottom), (left, right)) = conv.phases(size, out)
    if top == bottom and left == right:
        maps = F.conv2d(gradient, taps, padding=(top, left))
    else:
        maps = F.conv2d(F.pad(gradient, (left, right, top, bottom)), taps)
    (a, b), (n, _, height, width) = conv.stride, maps.shape
    maps = maps.view(n, -1, a, b, height, width).permute(0, 1, 4, 2, 5, 3)
    return maps.reshape(n, -1, height * a, width * b)


def _phases(conv: nn.Conv2d, size: tuple[int, int], out: tuple[int, int]) -> tuple[Tensor, Edges]:
    """Taps [C*a*b,C',t,u] of the convolution that gives all phases, and the zeros it needs around the output.

    Pixel ``s*p + a`` meets output ``p + t`` at tap ``a + padding - s*t``, in each direction; so for every phase ``a``
    the taps are those of a stride-1 convolution over ``t``.
    """
    weight = conv.weight.detach()
    edges, picks = [], []
    for side, made, kernel, pad, step in zip(
        size, out, weight.shape[-2:], (int(p) for p in conv.padding), conv.stride, strict=True
    ):
        first, last = -((kernel - 1 - pad) // step), (step - 1 + pad) // step
        edges.append((-first, side // step + last - made))
        picks.append([[a + pad - step * t for t in range(first, last + 1)] for a in range(step)])
    rooms = [_room(taps, kernel) for taps, kernel in zip(picks, weight.shape[-2:], strict=True)]
    padded = F.pad(weight, (*rooms[1], *rooms[0]))
    rows, columns = (
        torch.tensor(taps, device=weight.device) + room[0] for taps, room in zip(picks, rooms, strict=True)
    )
    phases = padded[:, :, rows[:, None, :, None], columns[None, :, None, :]]  # [C',C,a,b,t,u]
    _, channels, a, b, t, u = phases.shape
    return phases.permute(1, 2, 3, 0, 4, 5).reshape(channels * a * b, -1, t, u), (edges[0], edges[1])


def _room(picks: list[list[int]], kernel: int) -> tuple[int, int]:
    """How many zero taps are asked for before and behind a kernel."""
    flat = [k for phase in picks for k in phase]
    return max(0, -min(flat)), max(0, max(flat) - kernel + 1)


def phase_stem(copy: nn.Module, images: Tensor) -> bool:
    """Speed-up of the harness: the strided convolutions of a frozen copy with few input channels become phased ones."""
    if images.device.type != "cpu":
        return False
    found = False
    for module in copy.modules():
        if type(module) in (nn.Conv2d, DenseConv2d) and _suits(module):  # subclasses may compute something else
            module.__class__ = PhasedConv2d
            found = True
    return found


def _suits(conv: nn.Module) -> bool:
    assert isinstance(conv, nn.Conv2d)
    if isinstance(conv.padding, str) or conv.padding_mode != "zeros" or conv.groups != 1:
        return False
    if tuple(conv.dilation) != (1, 1) or min(conv.stride) < 2 or conv.in_channels > MOST_CHANNELS:
        return False
    return all(pad < kernel for pad, kernel in zip(conv.padding, conv.kernel_size, strict=True))
