"""Adversarial weight perturbation: its length, its direction, and where the gradients are taken."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from model_zoo.defenses.trades import TRADES
from model_zoo.defenses.worst_weights import Call, worst_weights


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5, bias=False)
    ).train()


IMAGES, LABELS = torch.rand(16, 3, 8, 8, generator=torch.Generator().manual_seed(1)), torch.arange(16) % 5


def loss(call: Call) -> Tensor:
    return nn.functional.cross_entropy(call(IMAGES), LABELS)


def test_by_hand_on_one_matrix() -> None:
    """Loss sum(x W): its gradient is x for every output, so W moves along x, by `size` of its norm."""
    model = nn.Linear(2, 1, bias=False)
    model.weight.data = torch.tensor([[3.0, 4.0]])
    x = torch.tensor([[0.6, 0.8]])
    assert worst_weights(model, lambda call: call(x).sum(), 0.1)(x).item() == pytest.approx(5.0 + 0.5)
    assert model.weight.tolist() == [[3.0, 4.0]]


def test_every_kernel_moves_by_its_share_and_norms_and_biases_do_not() -> None:
    model = network()
    before = copy.deepcopy(model.state_dict())
    call = worst_weights(model, loss, 0.01)
    worse = loss(call)
    assert worse > loss(model)
    reference = copy.deepcopy(model)
    reference.load_state_dict(before)
    gradients = torch.autograd.grad(loss(reference), [p for p in reference.parameters() if p.ndim > 1])
    moved = copy.deepcopy(reference)
    moved.load_state_dict(before)
    with torch.no_grad():
        for weight, gradient in zip([p for p in moved.parameters() if p.ndim > 1], gradients, strict=True):
            weight += 0.01 * weight.norm() * gradient / gradient.norm()
    torch.testing.assert_close(loss(moved), worse)
    worse.backward()
    loss(moved).backward()
    for mine, theirs in zip(model.parameters(), moved.parameters(), strict=True):  # gradients at the worse weights
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_looking_for_them_leaves_no_trace_and_training_counts_one_batch() -> None:
    model = network()
    before = copy.deepcopy(model.state_dict())
    worst_weights(model, loss, 0.01)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    TRADES(awp=0.01).loss(model, IMAGES, LABELS)
    assert model[1].num_batches_tracked == 1


def test_trades_takes_its_loss_at_the_worse_weights() -> None:
    losses = []
    for awp in (0.0, 0.02):
        torch.manual_seed(3)
        losses.append(TRADES(awp=awp).loss(network(), IMAGES, LABELS).item())
    assert losses[1] > losses[0]
