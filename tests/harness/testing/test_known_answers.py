"""Models whose robust accuracy is known exactly: the harness's must be the same, by the attacks of every tool."""

from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from known_answers import answers, cases
from torch import nn

from harness.errors import UsageError
from harness.inputs.reference import margins
from harness.testing.exact import TinyNet, linear_worst, relu_worst, relu_worst_by_patterns

LINEAR_LINF, LINEAR_L2, RELU = (replace(case, grid=case.grid[:2]) for case in cases(16)[:3])


@pytest.mark.slow
@pytest.mark.parametrize("case", [LINEAR_LINF, LINEAR_L2, RELU], ids=["linear-linf", "linear-l2", "relu-linf"])
def test_every_tool_finds_the_exact_robust_accuracy(case):
    found = answers(case, quick=True)
    assert {answer.tool for answer in found} == {"torchattacks", "art", "autoattack", "all"}
    assert len(found) == 4 * len(case.grid)
    for answer in found:
        assert answer.impossible == 0, answer  # never below
        assert answer.missed == 0, answer  # nor, on so few images, above
        assert answer.ok
    assert any(0 < answer.exact < 1 for answer in found)


def image(seed, n=1):
    return torch.rand(n, 1, 3, 3, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=6)
@given(seed=st.integers(0, 10**6), epsilon=st.sampled_from([0.01, 0.05, 0.2]))
def test_the_solver_agrees_with_all_activation_patterns(seed, epsilon):
    """And its point is inside ball and box, and reaches the margin it promises."""
    net = TinyNet(9, 3, 3, seed)
    one = image(seed)
    label = int(net(one).argmax(1))
    worst, point = relu_worst(net, one[0], label, epsilon)
    assert worst == pytest.approx(relu_worst_by_patterns(net, one[0], label, epsilon), abs=1e-6)
    assert np.abs(point - one.flatten().double().numpy()).max() <= epsilon + 1e-9
    assert point.min() >= -1e-9
    assert point.max() <= 1 + 1e-9
    reached = margins(net.double()(torch.from_numpy(point)[None]), torch.tensor([label])).detach()
    assert worst == pytest.approx(float(reached), abs=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_closed_form_is_reached_and_not_exceeded(norm):
    torch.manual_seed(0)
    model, epsilon = nn.Linear(9, 4).double(), 0.1
    images = 0.2 + 0.6 * image(1, 8).double()
    labels = torch.tensor([0, 1, 2, 3] * 2)
    worst = linear_worst(model, images, labels, epsilon, norm)
    slopes = model.weight[None] - model.weight[labels][:, None]
    steps = slopes.sign() if norm == "linf" else slopes / slopes.norm(dim=2, keepdim=True).clamp_min(1e-12)
    moved = (images.flatten(1)[:, None] + epsilon * steps).clamp(0, 1)
    reached = margins(model(moved).flatten(0, 1), labels.repeat_interleave(4)).view(8, 4).amax(1)
    np.testing.assert_allclose(worst, reached.detach().numpy(), atol=1e-9)


def test_the_box_counts_in_the_closed_form():
    model = nn.Linear(9, 2).double()
    black = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    label = model(black.flatten(1)).argmax(1)
    worst = linear_worst(model, black, label, 0.5, "linf")
    slope = (model.weight[1 - label] - model.weight[label]).clamp_min(0).sum()
    shift = model.bias[1 - label] - model.bias[label]
    assert float(worst[0]) == pytest.approx(float((0.5 * slope + shift).detach()))
    with pytest.raises(UsageError, match="out of the box"):
        linear_worst(model, black, label, 0.5, "l2")
    with pytest.raises(UsageError, match="no closed form for l1"):
        linear_worst(model, black, label, 0.5, "l1")


def test_the_best_pixels_are_those_of_all_pairs():
    """Every choice of two pixels and of corners of the box, in an image of two channels."""
    torch.manual_seed(2)
    model = nn.Linear(12, 3).double()
    images, labels = torch.rand(4, 2, 2, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 0])
    worst = linear_worst(model, images, labels, 2, "l0")
    best = np.full(4, -np.inf)
    for first, second in combinations(range(6), 2):
        for corner in product((0.0, 1.0), repeat=4):
            moved = images.flatten(2).clone()
            moved[:, :, [first, second]] = torch.tensor(corner, dtype=torch.float64).view(2, 2)
            best = np.maximum(best, margins(model(moved.flatten(1)), labels).detach().numpy())
    np.testing.assert_allclose(worst, best, atol=1e-9)
