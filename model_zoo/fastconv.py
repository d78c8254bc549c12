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
    """`nn.Conv2d` whose forward is a matrix product where the feature map is at most `LIMIT` x `LIMIT`."""

    def forward(self, input: Tensor) -> Tensor:
        """Feature maps [n,C,H,W] to [n,C',H',W'], as `nn.Conv2d`."""
        height, width = input.shape[-2:]
        if height > LIMIT or width > LIMIT or not _suits(self):
            return super().forward(input)
        return _dense(input, self)


def _suits(conv: nn.Conv2d) -> bool:
    plain = conv.groups == 1 and tuple(conv.dilation) == (1, 1) and conv.padding_mode == "zeros"
    return plain and not isinstance(conv.padding, str) and tuple(conv.kernel_size) != (1, 1)


def _dense(images: Tensor, conv: nn.Conv2d) -> Tensor:
    n, _, height, width = images.shape
    (kh, kw), (sy, sx) = conv.kernel_size, conv.stride
    py, px = int(conv.padding[0]), int(conv.padding[1])
    out_h, out_w = (height + 2 * py - kh) // sy + 1, (width + 2 * px - kw) // sx + 1
    rows = []
    taps = conv.weight.permute(0, 2, 3, 1)  # [C', kh, kw, C]
    for y in range(out_h):
        for x in range(out_w):
            # Input pixel (i, j) meets tap (i + top, j + left) of this output; taps outside the kernel are zero.
            top, left = py - sy * y, px - sx * x
            y0, y1, x0, x1 = max(top, 0), min(top + height, kh), max(left, 0), min(left + width, kw)
            block = taps[:, y0:y1, x0:x1]
            if (y1 - y0, x1 - x0) != (height, width):
                block = F.pad(block, (0, 0, x0 - left, left + width - x1, y0 - top, top + height - y1))
            rows.append(block.reshape(conv.out_channels, -1))
    weight = torch.cat(rows) if len(rows) > 1 else rows[0]
    bias = conv.bias.repeat(len(rows)) if conv.bias is not None else None
    flat = F.linear(images.permute(0, 2, 3, 1).reshape(n, -1), weight, bias)
    return flat.view(n, out_h, out_w, conv.out_channels).permute(0, 3, 1, 2)


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
