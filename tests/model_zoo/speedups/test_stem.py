"""The phased input gradient is the usual one, for every shape it takes on."""

import pytest
import torch
from torch import nn

from model_zoo.speedups.stem import PhasedConv2d, phase_stem


@pytest.mark.parametrize(("kernel", "padding"), [(k, p) for k in (2, 3, 5, 7) for p in range(4) if p < k])
@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_input_gradients_are_the_usual_ones(kernel, stride, padding, bias):
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 5, kernel, stride, padding, bias=bias).double().requires_grad_(False)
    images = torch.rand(2, 3, 12, 18, dtype=torch.float64, requires_grad=True)
    wanted_out = conv(images)
    weights = torch.rand_like(wanted_out)
    (wanted,) = torch.autograd.grad((wanted_out * weights).sum(), images)
    phased = nn.Sequential(conv)
    assert phase_stem(phased, images)
    assert type(conv) is PhasedConv2d
    out = phased(images)
    (gradient,) = torch.autograd.grad((out * weights).sum(), images)
    assert torch.equal(out, wanted_out)
    torch.testing.assert_close(gradient, wanted, rtol=1e-12, atol=1e-12)


def test_unequal_strides_and_paddings():
    conv = nn.Conv2d(3, 4, (5, 3), (2, 3), (2, 1)).double().requires_grad_(False)
    images = torch.rand(2, 3, 8, 12, dtype=torch.float64, requires_grad=True)
    (wanted,) = torch.autograd.grad(conv(images).square().sum(), images)
    assert phase_stem(nn.Sequential(conv), images)
    (gradient,) = torch.autograd.grad(conv(images).square().sum(), images)
    torch.testing.assert_close(gradient, wanted, rtol=1e-12, atol=1e-12)


def test_what_does_not_fit_is_computed_as_usual():
    images = torch.rand(1, 3, 9, 9, requires_grad=True)  # not divisible by the stride
    conv = nn.Conv2d(3, 4, 3, 2, 1)
    assert phase_stem(nn.Sequential(conv), images)
    gradients = torch.autograd.grad(conv(images).sum(), (images, conv.weight))
    assert all(g.abs().sum() > 0 for g in gradients)
    for other in (
        nn.Conv2d(8, 4, 3, 2, 1),
        nn.Conv2d(3, 4, 3, 1, 1),
        nn.Conv2d(3, 3, 3, 2, 1, groups=3),
        nn.Conv2d(3, 4, 3, 2, "valid"),
        nn.Conv2d(3, 4, 3, 2, 1, padding_mode="reflect"),
        nn.Conv2d(3, 4, 3, 2, dilation=2),
    ):
        assert not phase_stem(nn.Sequential(other), images)
        assert type(other) is nn.Conv2d
