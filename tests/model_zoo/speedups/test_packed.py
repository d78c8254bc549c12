"""Layers on packed weights are the usual ones up to rounding, and give way where they are not."""

import copy
import pickle

import pytest
import torch
from torch import nn

from model_zoo.speedups import packed
from model_zoo.speedups.packed import PackedConv2d, PackedLinear, pack_weights

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")


def frozen(layer):
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return nn.Sequential(layer).eval().requires_grad_(False)


def asked(network, images):
    """Answers, and a gradient that reaches the layer expanded and one that does not."""
    images = images.clone().requires_grad_()
    out = network(images)
    whole = torch.autograd.grad(out.sum(), images, retain_graph=True)[0]
    return out.detach(), whole, torch.autograd.grad(out.square().sum(), images)[0]


def same(got, wanted):
    for mine, theirs in zip(got, wanted, strict=True):
        assert mine.shape == theirs.shape
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


@pytest.mark.parametrize("n", [1, 5, 64, 130])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [(3, 1, 1, 1), (3, 2, 1, 1), (1, 2, 0, 1), (4, 2, 1, 1), (3, 1, 2, 2), ((3, 1), (1, 3), (1, 0), 1)],
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_convolutions_are_the_usual_ones(n, kernel, stride, padding, dilation, layout):
    network = frozen(nn.Conv2d(5, 7, kernel, stride, padding, dilation))
    images = torch.randn(n, 5, 9, 12, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=layout)
    wanted = asked(network, images)
    assert pack_weights(network, images)
    assert type(network[0]) is PackedConv2d
    same(asked(network, images), wanted)
    same(
        asked(network, images[:, :, :-1]),
        asked(frozen(nn.Conv2d(5, 7, kernel, stride, padding, dilation)), images[:, :, :-1]),
    )


@pytest.mark.parametrize("shape", [(1, 160), (200, 160), (4, 6, 160)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_layers_are_the_usual_ones(shape, bias):
    network = frozen(nn.Linear(160, 120, bias=bias))
    rows = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    wanted, turned = asked(network, rows), asked(network, rows.transpose(0, -2))
    assert pack_weights(network, torch.zeros(1, 3, 2, 2))
    assert type(network[0]) is PackedLinear
    same(asked(network, rows), wanted)
    same(asked(network, rows.transpose(0, -2)), turned)


@pytest.mark.parametrize("size", [1, 2])
def test_what_is_written_out_is_packed_as_well(size, monkeypatch):
    network, images = frozen(nn.Conv2d(8, 8, 3, padding=1)), torch.randn(3, 8, size, size)
    wanted = asked(network, images)
    assert pack_weights(network, images)

    def refuse(*_):
        raise RuntimeError("a product on rows ran")

    monkeypatch.setattr(torch.nn.functional, "linear", refuse)
    monkeypatch.setattr(torch.nn.functional, "conv2d", refuse)
    same(asked(network, images), wanted)


def test_weights_are_packed_once_and_anew_when_they_change(monkeypatch):
    made = []
    usual = packed._packed
    monkeypatch.setattr(packed, "_packed", lambda *of: made.append(of) or usual(*of))
    network, images = frozen(nn.Conv2d(3, 4, 3)), torch.rand(2, 3, 8, 8)
    pack_weights(network, images)
    before = network(images)
    network(images[:1])
    assert len(made) == 1
    network[0].weight.mul_(2)
    network[0].bias.mul_(2)
    torch.testing.assert_close(network(images), 2 * before)
    assert len(made) == 2


def test_copies_and_pickles_pack_for_themselves():
    network, images = frozen(nn.Conv2d(3, 4, 3)), torch.rand(2, 3, 8, 8)
    pack_weights(network, images)
    before = network(images)
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(other(images), before)
        other[0].weight.zero_()
        other[0].bias.zero_()
        assert not other(images).any()
    assert torch.equal(network(images), before)


def test_what_cannot_be_packed_is_computed_as_usual():
    network, images = frozen(nn.Conv2d(3, 4, 3)).double(), torch.rand(2, 3, 8, 8, dtype=torch.float64)
    wanted = asked(network, images)
    pack_weights(network, images)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(asked(network, images), wanted, strict=True))
    network = network.float()
    network[0].weight.requires_grad_()
    assert torch.autograd.grad(network(images.float()).sum(), network[0].weight)[0].any()
    network.requires_grad_(False)
    with torch.autocast("cpu", torch.bfloat16):
        assert network(images.float()).dtype == torch.bfloat16
    for other in (
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Conv2d(3, 4, 3, padding="same"),
        nn.Linear(10, 10),
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
    ):
        kind = type(other)
        assert not pack_weights(nn.Sequential(other), images)
        assert type(other) is kind
