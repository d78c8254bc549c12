"""Convolutions on tiny feature maps as one dense matrix product, for the CPU.

On feature maps of at most 2x2, which a ResNet-18 has in its last two stages on 32x32 images, most taps of a 3x3 kernel
fall on padding, and the CPU kernels for such shapes are slow, above all for the weights' gradient. There a
convolution is written out as the matrix it is: one block row for each output position, holding the taps that meet the
input. The result and all gradients are the same but for float rounding; parameters and state-dict keys do not change.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LIMIT = 2
"""Largest height and width written out; measured on 32x32 ResNet-18: 1 and 4 are slower."""


class DenseConv2d(nn.Conv2d):
    """`nn.Conv2d` whose forward, on the CPU, is a matrix product on feature maps of at most `LIMIT` x `LIMIT`."""

    _written_out: dict[tuple[int, ...], Tensor]
    """The matrix of frozen weights, by feature-map size and the weights' place and version."""

    def forward(self, input: Tensor) -> Tensor:
        """Feature maps [n,C,H,W] to [n,C',H',W'], as `nn.Conv2d`."""
        height, width = input.shape[-2:]
        if input.device.type != "cpu" or height > LIMIT or width > LIMIT or not _suits(self):
            return super().forward(input)
        return _dense(input, self)

    def _product(self, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(rows, weight, bias)


def _suits(conv: nn.Conv2d) -> bool:
    plain = conv.groups == 1 and tuple(conv.dilation) == (1, 1) and conv.padding_mode == "zeros"
    return plain and not isinstance(conv.padding, str) and tuple(conv.kernel_size) != (1, 1)


def _dense(images: Tensor, conv: DenseConv2d) -> Tensor:
    n, _, height, width = images.shape
    (kh, kw), (sy, sx) = conv.kernel_size, conv.stride
    out_h = (height + 2 * int(conv.padding[0]) - kh) // sy + 1
    out_w = (width + 2 * int(conv.padding[1]) - kw) // sx + 1
    weight = _matrix(conv, height, width, out_h, out_w)
    bias = conv.bias.repeat(out_h * out_w) if conv.bias is not None else None
    flat = conv._product(images.permute(0, 2, 3, 1).reshape(n, -1), weight, bias)
    return flat.view(n, out_h, out_w, conv.out_channels).permute(0, 3, 1, 2)


def _matrix(conv: DenseConv2d, height: int, width: int, out_h: int, out_w: int) -> Tensor:
    """The weights written out, [out_h*out_w*C', H*W*C]; kept while they are frozen and unchanged."""
    if conv.weight.requires_grad:
        return _write_out(conv, height, width, out_h, out_w)
    key = (height, width, conv.weight.data_ptr(), conv.weight._version)
    kept: dict[tuple[int, ...], Tensor] = conv.__dict__.setdefault("_written_out", {})
    if key not in kept:
        kept.clear()
        with torch.inference_mode(False), torch.no_grad():
            kept[key] = _write_out(conv, height, width, out_h, out_w).detach()
    return kept[key]


def _write_out(conv: nn.Conv2d, height: int, width: int, out_h: int, out_w: int) -> Tensor:
    (kh, kw), (sy, sx) = conv.kernel_size, conv.stride
    rows = []
    taps = conv.weight.permute(0, 2, 3, 1)  # [C', kh, kw, C]
    for y in range(out_h):
        for x in range(out_w):
            # Input pixel (i, j) meets tap (i + top, j + left) of this output; taps outside the kernel are zero.
            top, left = int(conv.padding[0]) - sy * y, int(conv.padding[1]) - sx * x
            y0, y1, x0, x1 = max(top, 0), min(top + height, kh), max(left, 0), min(left + width, kw)
            block = taps[:, y0:y1, x0:x1]
            if (y1 - y0, x1 - x0) != (height, width):
                block = F.pad(block, (0, 0, x0 - left, left + width - x1, y0 - top, top + height - y1))
            rows.append(block.reshape(conv.out_channels, -1))
    return torch.cat(rows) if len(rows) > 1 else rows[0]


def write_out_convolutions(model: nn.Module) -> nn.Module:
    """`model` itself, in which every plain `nn.Conv2d` has become a `DenseConv2d`, for good.

    Parameters, hooks, buffers and keys stay what they are; subclasses of `nn.Conv2d` are left alone.
    """
    for module in model.modules():
        if type(module) is nn.Conv2d:
            module.__class__ = DenseConv2d
    return model


def write_out(copy: nn.Module, images: Tensor) -> bool:
    """`write_out_convolutions` as a speed-up of the harness: on the CPU, and where it is not done already."""
    before = any(type(module) is nn.Conv2d for module in copy.modules())
    if images.device.type != "cpu" or not before:
        return False
    write_out_convolutions(copy)
    return True


@contextmanager
def dense_convolutions(model: nn.Module) -> Iterator[nn.Module]:
    """Within the block, every plain `nn.Conv2d` of `model` computes tiny feature maps by a matrix product.

    Only the class of the modules changes, so parameters, hooks, buffers and keys stay what they are; subclasses of
    `nn.Conv2d` are left alone, and the classes are put back at the end.
    """
    swapped = [module for module in model.modules() if type(module) is nn.Conv2d]
    for module in swapped:
        module.__class__ = DenseConv2d
    try:
        yield model
    finally:
        for module in swapped:
            module.__class__ = nn.Conv2d
            module.__dict__.pop("_written_out", None)
