"""Adversarial views raise the contrastive loss, and YOPO is what the paper says it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from contrast import classifier, colors
from torch import Tensor, nn

from harness.base.torch_state import eval_mode
from harness.errors import UsageError
from model_zoo.defenses.contrastive.frameworks import A2A, A2S, AdversarialContrastive
from model_zoo.defenses.contrastive.loss import contrastive_loss
from model_zoo.defenses.contrastive.network import ADVERSARIAL, CLEAN, Encoder
from model_zoo.defenses.contrastive.views import Propagated, adversarial_views, first_layer
from model_zoo.defenses.inner import perturb

EPSILON = 8 / 255
YOPO = {"method": "yopo", "inner_steps": 3, "step_size": 2 / 255}


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    """With running statistics near the data's, so that eval mode means something."""
    made = Encoder(classifier(), (CLEAN, ADVERSARIAL), 8).train()
    images, _ = colors().take(range(24))
    with torch.no_grad():
        for _ in range(20):
            made(images, CLEAN)
            made(images, ADVERSARIAL)
    return made


def batch() -> tuple[Tensor, Tensor]:
    return colors().take(range(12))


def objective_of(encoder: Encoder, labels: Tensor, second: Tensor) -> Callable[[Tensor], Tensor]:
    loss = contrastive_loss(False, 0.5)
    with eval_mode(encoder), torch.no_grad():
        anchor = encoder(second, CLEAN)
    return lambda images: loss(encoder(images, ADVERSARIAL), anchor, labels)


@pytest.mark.parametrize("options", [{}, YOPO], ids=["pgd", "yopo"])
@pytest.mark.parametrize("kind", [A2S, A2A])
@pytest.mark.parametrize("supervised", [True, False])
def test_the_view_raises_the_contrastive_loss_far_above_noise(
    kind: type[AdversarialContrastive], options: dict[str, object], supervised: bool, encoder: Encoder
) -> None:
    images, labels = batch()
    defense, loss = kind(**options), contrastive_loss(supervised, 0.5)  # type: ignore[arg-type]
    torch.manual_seed(0)
    views = (torch.cat([images, images]) + 0.02 * torch.randn(24, 3, 8, 8)).clamp(0, 1)
    seen: list[Tensor] = []

    def spy(first: Tensor, second: Tensor, labels: Tensor) -> Tensor:
        value = loss(first, second, labels)
        seen.append(value.detach())
        return value

    with eval_mode(encoder):  # so that the last loss is of the same function as the first
        defense.contrast(encoder, views, labels, spy)
        attacked = views[:12] if kind is A2S else views
        noisy = (attacked + EPSILON * (torch.rand_like(attacked) * 2 - 1).sign()).clamp(0, 1)
        if kind is A2S:
            noise = loss(encoder(noisy, ADVERSARIAL), encoder(views[12:], CLEAN), labels)
            clean = loss(encoder(views[:12], ADVERSARIAL), encoder(views[12:], CLEAN), labels)
        else:
            noise = loss(*encoder(noisy, ADVERSARIAL).chunk(2), labels)
            clean = loss(*encoder(views, ADVERSARIAL).chunk(2), labels)
    assert seen[-1] > clean
    assert seen[-1] - clean > 3 * abs(noise - clean)


@pytest.mark.parametrize("inner_steps", [1, 3])
def test_views_stay_in_ball_and_box(inner_steps: int, encoder: Encoder) -> None:
    images, labels = batch()
    images[0] = 0.0
    climb = objective_of(encoder, labels, images)
    moved = adversarial_views(
        encoder, climb, images, epsilon=EPSILON, steps=3, step_size=EPSILON, inner_steps=inner_steps
    )
    assert (moved - images).abs().max() <= EPSILON + 1e-6
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert not moved.requires_grad
    assert encoder.training


@pytest.mark.parametrize("inner_steps", [1, 2])
def test_the_start_is_random_in_the_ball(inner_steps: int, encoder: Encoder) -> None:
    images, labels = batch()
    climb = objective_of(encoder, labels, images)
    inside = 0.1 + 0.8 * images
    moved = adversarial_views(encoder, climb, inside, epsilon=0.05, steps=1, step_size=1e-6, inner_steps=inner_steps)
    distance = (moved - inside).abs()
    assert distance.mean().item() == pytest.approx(0.025, rel=0.1)
    assert distance.max() > 0.049


def climbed(objective: Callable[[Tensor], Tensor], images: Tensor, steps: int, step_size: float) -> Tensor:
    torch.manual_seed(5)
    return perturb(objective, images, epsilon=EPSILON, steps=steps, step_size=step_size, random_start=True)


@pytest.mark.parametrize("steps", [1, 4])
def test_yopo_m_1_is_pgd_m_bit_for_bit(steps: int, encoder: Encoder) -> None:
    """With a new slope at each step, <p, f0(x)> has the loss's own gradient, wherever the network is cut."""
    images, labels = batch()
    with eval_mode(encoder):
        climb = objective_of(encoder, labels, images)
        pgd = climbed(climb, images, steps, 2 / 255)
        for layer in (first_layer(encoder), encoder.model[0], encoder.model[5]):
            assert torch.equal(climbed(Propagated(climb, layer, 1), images, steps, 2 / 255), pgd)


def test_yopo_through_an_affine_layer_is_pgd_with_longer_steps(encoder: Encoder) -> None:
    """Why the cut lies behind the activation: n steps through the convolution alone are one step n times as long."""
    images, labels = batch()
    with eval_mode(encoder):
        climb = objective_of(encoder, labels, images)
        yopo = climbed(Propagated(climb, encoder.model[0], 3), images, 6, 1 / 255)
        torch.testing.assert_close(yopo, climbed(climb, images, 2, 3 / 255), rtol=0, atol=1e-6)
        through_activation = climbed(Propagated(climb, first_layer(encoder), 3), images, 6, 1 / 255)
        assert not torch.allclose(through_activation, yopo, rtol=0, atol=1e-3)


def test_yopo_m_n_goes_m_times_through_the_network_and_m_n_times_through_the_first_layer(encoder: Encoder) -> None:
    images, labels = batch()
    climb = objective_of(encoder, labels, images)
    calls = {0: 0, 3: 0}
    handles = []
    for path in calls:

        def count(*_: object, path: int = path) -> None:
            calls[path] += 1

        handles.append(encoder.model[path].register_forward_hook(count))
    adversarial_views(encoder, climb, images, epsilon=EPSILON, steps=2, step_size=0.01, inner_steps=5)
    for handle in handles:
        handle.remove()
    assert calls == {0: 10, 3: 2}


def test_between_two_passes_the_later_layers_are_held_fixed() -> None:
    """f(x) = relu(x)^2 / 2 from 0.3: a pass at x has slope relu(x), which the inner steps keep."""
    layer = nn.ReLU()
    climb = Propagated(lambda x: layer(x).square().sum() / 2, layer, 2)
    gradients = []
    for value in (0.3, 0.5, 0.7):
        x = torch.tensor([value], requires_grad=True)
        gradients.append(torch.autograd.grad(climb(x), [x])[0].item())
    assert gradients == pytest.approx([0.3, 0.3, 0.7])


@pytest.mark.parametrize("fails", [False, True])
def test_no_hook_stays_behind(fails: bool, encoder: Encoder) -> None:
    images, labels = batch()
    climb = objective_of(encoder, labels, images)
    layer = first_layer(encoder)

    def failing(candidates: Tensor) -> Tensor:
        climb(candidates)
        raise KeyError

    if fails:
        with pytest.raises(KeyError):
            Propagated(failing, layer, 2)(images)
    else:
        adversarial_views(encoder, climb, images, epsilon=EPSILON, steps=1, step_size=0.01, inner_steps=2)
    assert not layer._forward_hooks


def test_one_activation_module_in_several_places_and_in_place_layers() -> None:
    shared = nn.Hardtanh()
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), shared, nn.Threshold(0.1, 0.0, inplace=True), nn.Conv2d(4, 2, 3), shared, nn.Flatten()
    ).eval()
    images = torch.rand(3, 3, 8, 8)

    def climb(candidates: Tensor) -> Tensor:
        return network(candidates).square().sum()

    assert torch.equal(climbed(Propagated(climb, shared, 1), images, 3, 0.01), climbed(climb, images, 3, 0.01))


def test_the_first_layer_ends_at_the_first_activation() -> None:
    encoder = Encoder(classifier(), (CLEAN, ADVERSARIAL), 4)
    assert first_layer(encoder) is encoder.model[2]
    with pytest.raises(UsageError, match="method=yopo needs an activation"):
        first_layer(nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2)))
