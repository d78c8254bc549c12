"""The one inner maximization: closed-form optima, the ball, the box, and no trace in the model."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from harness.base.torch_state import eval_mode
from model_zoo.defenses.inner import perturb


def linear(weights: Tensor):  # type: ignore[no-untyped-def]
    return lambda images: (images * weights).sum()


def test_one_full_step_is_epsilon_times_the_sign() -> None:
    torch.manual_seed(0)
    images, weights = 0.25 + 0.5 * torch.rand(3, 1, 4, 4), torch.randn(3, 1, 4, 4)
    out = perturb(linear(weights), images, epsilon=0.1, steps=1, step_size=0.1, random_start=False)
    torch.testing.assert_close(out, images + 0.1 * weights.sign(), rtol=0, atol=1e-7)


def test_it_reaches_the_exact_optimum_of_a_linear_objective_inside_ball_and_box() -> None:
    torch.manual_seed(1)
    images, weights = torch.rand(5, 3, 4, 4), torch.randn(5, 3, 4, 4)
    images[0, 0, 0, 0], images[0, 0, 0, 1] = 0.0, 1.0  # where the box cuts the ball
    best = torch.where(weights > 0, (images + 0.2).clamp(max=1), (images - 0.2).clamp(min=0))
    out = perturb(linear(weights), images, epsilon=0.2, steps=8, step_size=0.05, random_start=True)
    torch.testing.assert_close(out, best, rtol=0, atol=1e-6)


def test_too_few_steps_do_not_reach_it() -> None:
    images, weights = torch.full((1, 1, 2, 2), 0.5), torch.ones(1, 1, 2, 2)
    out = perturb(linear(weights), images, epsilon=0.2, steps=2, step_size=0.05, random_start=False)
    torch.testing.assert_close(out, torch.full_like(images, 0.6))


def test_the_random_start_fills_the_ball_and_stays_in_the_box() -> None:
    torch.manual_seed(2)
    images = torch.full((1, 1, 100, 100), 0.05)
    start = perturb(linear(images), images, epsilon=0.1, steps=0, step_size=0.1, random_start=True)
    assert start.min() == 0  # the ball reaches below the box
    assert 0.149 < start.max() <= 0.1500001
    assert 0.2 < (start == 0).float().mean() < 0.3  # a quarter of [-0.05, 0.15]
    assert 0.07 < start[start > 0].mean() < 0.08
    unmoved = perturb(linear(images), images, epsilon=0.1, steps=0, step_size=0.1, random_start=False)
    assert torch.equal(unmoved, images)


@pytest.mark.parametrize("training", [True, False])
def test_crafting_leaves_no_trace(training: bool) -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Dropout(), nn.Linear(8, 2))
    model.train(training)
    model[1].eval()  # a submodule in another mode than the rest
    before = {key: value.clone() for key, value in model.state_dict().items()}
    images = torch.rand(6, 1, 4, 4)
    copy = images.clone()
    with eval_mode(model):
        assert not any(module.training for module in model.modules())
        out = perturb(lambda x: model(x)[:, 0].sum(), images, epsilon=0.1, steps=2, step_size=0.1, random_start=True)
    assert [module.training for module in model] == [training, False, training, training, training]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(images, copy)
    assert not out.requires_grad


def test_modes_come_back_after_an_exception() -> None:
    model = nn.Sequential(nn.Dropout()).train()
    with pytest.raises(KeyError), eval_mode(model):
        raise KeyError
    assert model.training
    assert model[0].training


def test_rows_do_not_disturb_each_other_in_eval_mode() -> None:
    torch.manual_seed(4)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    images = torch.rand(4, 1, 4, 4)

    def craft(rows: Tensor) -> Tensor:
        return perturb(lambda x: model(x)[:, 0].sum(), rows, epsilon=0.1, steps=3, step_size=0.05, random_start=False)

    with eval_mode(model):
        torch.testing.assert_close(craft(images)[:2], craft(images[:2]))
