"""The dense rewrite of small convolutions is the convolution, gradients included."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from model_zoo.loading import architectures
from model_zoo.speedups.tiny_maps import DenseConv2d, dense_convolutions, write_out_convolutions


@pytest.mark.parametrize("size", [1, 2, (1, 2), (2, 1)])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "bias"),
    [
        (3, 1, 1, False),
        (3, 2, 1, True),
        (5, 1, 2, True),
        ((3, 1), (2, 1), (1, 0), False),
        (2, 1, 1, True),
        (7, 2, 3, True),
    ],
)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_outputs_and_gradients_are_those_of_the_convolution(
    size: int | tuple[int, int],
    kernel: int | tuple[int, int],
    stride: int | tuple[int, int],
    padding: int | tuple[int, int],
    bias: bool,
    memory_format: torch.memory_format,
) -> None:
    torch.manual_seed(0)
    height, width = (size, size) if isinstance(size, int) else size
    conv = nn.Conv2d(3, 4, kernel, stride, padding, bias=bias).double().to(memory_format=memory_format)
    images = torch.randn(5, 3, height, width, dtype=torch.float64, requires_grad=True)
    inputs = [images, *conv.parameters()]
    plain = conv(images)
    weights = torch.randn_like(plain)
    expected = torch.autograd.grad((plain * weights).sum(), inputs)
    with dense_convolutions(nn.Sequential(conv)):
        assert type(conv) is DenseConv2d
        dense = conv(images)
        gradients = torch.autograd.grad((dense * weights).sum(), inputs)
    assert type(conv) is nn.Conv2d
    torch.testing.assert_close(dense, plain, rtol=1e-12, atol=1e-12)
    for got, want in zip(gradients, expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


def test_a_matrix_product_is_really_used(monkeypatch: pytest.MonkeyPatch) -> None:
    conv = nn.Conv2d(3, 4, 3, padding=1)

    def refuse(*_: object) -> None:
        raise RuntimeError("a convolution ran")

    with dense_convolutions(conv):
        monkeypatch.setattr(torch.nn.functional, "conv2d", refuse)
        conv(torch.rand(1, 3, 2, 2))
        with pytest.raises(RuntimeError, match="a convolution ran"):
            conv(torch.rand(1, 3, 3, 3))


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
    ],
)
def test_other_convolutions_compute_what_they_did(conv: nn.Conv2d) -> None:
    images = torch.rand(2, 4, 2, 2)
    plain = conv(images)
    with dense_convolutions(conv):
        assert torch.equal(conv(images), plain)


def test_resnet18_keeps_keys_classes_and_logits() -> None:
    torch.manual_seed(0)
    model = architectures.build("resnet18", 43, (3, 32, 32), (0.3,) * 3, (0.2,) * 3).eval()
    keys, images = list(model.state_dict()), torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        plain = model(images)
        with dense_convolutions(model):
            assert list(model.state_dict()) == keys
            torch.testing.assert_close(model(images), plain, rtol=1e-4, atol=1e-5)
    assert not any(isinstance(module, DenseConv2d) for module in model.modules())


def test_classes_come_back_after_an_exception() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 3))
    with pytest.raises(KeyError), dense_convolutions(model):
        raise KeyError
    assert type(model[0]) is nn.Conv2d


def test_frozen_weights_are_written_out_once_and_again_when_they_change():
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 4, 3, padding=1).requires_grad_(False)
    images = torch.randn(2, 3, 2, 2)
    plain = conv(images)
    write_out_convolutions(conv)
    torch.testing.assert_close(conv(images), plain)
    (kept,) = conv._written_out.values()
    conv(images)
    assert next(iter(conv._written_out.values())) is kept
    with torch.no_grad():
        conv.weight.mul_(2)
    torch.testing.assert_close(conv(images) - conv.bias[:, None, None], 2 * (plain - conv.bias[:, None, None]))
    assert len(conv._written_out) == 1
    one = torch.randn(2, 3, 1, 1)
    torch.testing.assert_close(conv(one), nn.functional.conv2d(one, conv.weight, conv.bias, padding=1))
    with torch.inference_mode():
        conv._written_out.clear()
        conv(images)
    wanted = images.clone().requires_grad_()
    conv(wanted).sum().backward()
    assert wanted.grad is not None


def test_writing_out_for_good_keeps_parameters_and_keys():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert write_out_convolutions(model) is model
    assert type(model[0]) is DenseConv2d
    assert {n: t.tolist() for n, t in model.state_dict().items()} == {n: t.tolist() for n, t in before.items()}
