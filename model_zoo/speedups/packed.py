"""Weights in the blocks that the CPU's kernels want, brought into them once instead of in every call.

oneDNN computes on blocked weights. PyTorch keeps them in rows, so that every convolution, forward and back, begins by
rearranging its weights, and matrix products go to a library that takes rows. With few images in a batch, as when most
have been broken, that is much of the time. The products are the same up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from model_zoo.speedups.tiny_maps import DenseConv2d

ROWS = 64
"""Rows that weights are packed for, whatever comes: results may not hang on which query was the first."""
FEWEST = 2**14
"""Weights of a linear layer from which a product takes longer than calling a function of our own."""


class Pack(NamedTuple):
    """Weights packed for a product and for its gradient."""

    ahead: Tensor
    back: Tensor
    edge: tuple[int, ...] = ()
    """Of a convolution: pixels at the lower and right edge that its strides leave out."""


class Packs(dict[tuple[int, ...], Pack]):
    """The packs of a layer by weights and size of the input; a copy begins with none, for packs cannot be copied."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Packs:
        return Packs()

    def __reduce__(self) -> tuple[type[Packs], tuple[()]]:
        return Packs, ()

    def of(self, weight: Tensor, size: tuple[int, ...], make: Callable[[], Pack]) -> Pack:
        """The pack of `weight` as it is now, for inputs of `size`."""
        key = (weight.data_ptr(), weight._version, *size)
        if key not in self:
            with torch.inference_mode(False), torch.no_grad():
                self[key] = make()
        return self[key]


class PackedLinear(nn.Linear):
    """`nn.Linear`, frozen, on packed weights; differentiable once, with respect to its input."""

    def forward(self, input: Tensor) -> Tensor:
        """Rows [...,D] to [...,D'], as `nn.Linear`."""
        return _product(input, self.weight, self.bias, self) if _suits(self, input) else super().forward(input)


class PackedConv2d(DenseConv2d):
    """`DenseConv2d`, frozen, on packed weights; differentiable once, with respect to its input."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not _suits(self, input):
            usual: Tensor = super()._conv_forward(input, weight, bias)
            return usual
        out: Tensor = _Convolution.apply(input, bias, self)
        return out

    def _product(self, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        packable = _suits(self, rows)
        return _product(rows, weight, bias, self) if packable else super()._product(rows, weight, bias)


def _suits(layer: nn.Linear | nn.Conv2d, input: Tensor) -> bool:
    """Whether only the input can ask for a gradient, and all is float32 on the CPU."""
    frozen = not layer.weight.requires_grad and (layer.bias is None or not layer.bias.requires_grad)
    exact = input.dtype == layer.weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    return frozen and exact and input.device.type == "cpu" and not torch.compiler.is_compiling()


def _packs(layer: nn.Module) -> Packs:
    kept: Packs = layer.__dict__.setdefault("_packs", Packs())
    return kept


def _product(rows: Tensor, weight: Tensor, bias: Tensor | None, layer: nn.Module) -> Tensor:
    out: Tensor = _Product.apply(rows, weight, bias, _packs(layer))
    return out


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None, packs: Packs) -> Tensor:
        def make() -> Pack:
            pack = torch.ops.mkldnn._reorder_linear_weight
            return Pack(pack(weight.contiguous(), ROWS), pack(weight.t().contiguous(), ROWS))

        ctx.pack = packs.of(weight, (), make)
        out: Tensor = torch.ops.mkldnn._linear_pointwise(rows.contiguous(), ctx.pack.ahead, bias, "none", [], "")
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        back = torch.ops.mkldnn._linear_pointwise(gradient.contiguous(), ctx.pack.back, None, "none", [], "")
        return back, None, None, None


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, bias: Tensor | None, conv: PackedConv2d) -> Tensor:
        size = tuple(maps.shape[1:])
        ctx.pack, ctx.conv = _packs(conv).of(conv.weight, size, lambda: _packed(conv, size)), conv
        strides = conv.padding, conv.stride, conv.dilation, conv.groups
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(maps, ctx.pack.ahead, bias, *strides, "none", [], "")
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        conv: PackedConv2d = ctx.conv
        strides = conv.padding, ctx.pack.edge, conv.stride, conv.dilation, conv.groups
        transpose = torch.ops.mkldnn._convolution_transpose_pointwise
        return transpose(gradient, ctx.pack.back, None, *strides, "none", [], ""), None, None


def _packed(conv: PackedConv2d, size: tuple[int, ...]) -> Pack:
    """The pack for feature maps of `size`, C,H,W; the gradient of a convolution is a transposed one."""
    weight = conv.weight.contiguous(memory_format=torch.channels_last)
    strides = conv.stride, conv.dilation, conv.groups
    pads = (int(pad) for pad in conv.padding)
    lengths = zip(size[1:], pads, conv.dilation, conv.kernel_size, conv.stride, strict=True)
    fits = [divmod(side + 2 * pad - spread * (kernel - 1) - 1, step) for side, pad, spread, kernel, step in lengths]
    edge = tuple(rest for _, rest in fits)
    made = [ROWS, conv.out_channels, *(count + 1 for count, _ in fits)]
    ahead = torch.ops.mkldnn._reorder_convolution_weight(weight, conv.padding, *strides, [ROWS, *size])
    back = torch.ops.mkldnn._reorder_convolution_transpose_weight(weight, conv.padding, edge, *strides, made)
    return Pack(ahead, back, edge)


def pack_weights(copy: nn.Module, images: Tensor) -> bool:
    """Speed-up of the harness: linear layers and convolutions of a frozen copy compute on packed weights."""
    if images.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    found = False
    for module in copy.modules():
        if type(module) is nn.Linear and module.weight.numel() >= FEWEST:  # subclasses may compute something else
            module.__class__ = PackedLinear
            found = True
        elif type(module) in (nn.Conv2d, DenseConv2d) and _plain(module):
            module.__class__ = PackedConv2d
            found = True
    return found


def _plain(conv: nn.Module) -> bool:
    assert isinstance(conv, nn.Conv2d)
    return not isinstance(conv.padding, str) and conv.padding_mode == "zeros" and conv.groups == 1
