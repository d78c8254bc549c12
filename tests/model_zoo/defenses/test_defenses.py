"""Loss values against cases worked by hand, and options."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.errors import UsageError
from model_zoo.defenses.base import Defense
from model_zoo.defenses.fast_fgsm import FastFGSM
from model_zoo.defenses.fgsm import FGSM
from model_zoo.defenses.n_fgsm import NFGSM
from model_zoo.defenses.pgd import PGD
from model_zoo.defenses.standard import Standard
from model_zoo.defenses.trades import TRADES, divergence

ALL = (Standard(), FGSM(), FastFGSM(), NFGSM(), PGD(), TRADES(), TRADES(awp=0.01))


class Line(nn.Module):
    """Two logits (z, -z) with z = scale * sum(pixels): cross-entropy of label 0 is log(1 + exp(-2z))."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, images: Tensor) -> Tensor:
        z = self.scale * images.flatten(1).sum(dim=1)
        return torch.stack([z, -z], dim=1)


def cross_entropy(z: float) -> float:
    return math.log1p(math.exp(-2 * z))


IMAGE = torch.full((1, 1, 1, 2), 0.5)  # z = 1
LABEL = torch.tensor([0])


def test_standard_is_cross_entropy() -> None:
    assert Standard().loss(Line(), IMAGE, LABEL).item() == pytest.approx(cross_entropy(1.0))


def test_label_smoothing_mixes_in_the_uniform_distribution() -> None:
    expected = 0.9 * cross_entropy(1.0) + 0.1 * (cross_entropy(1.0) + cross_entropy(-1.0)) / 2
    assert Standard(label_smoothing=0.1).loss(Line(), IMAGE, LABEL).item() == pytest.approx(expected)


def test_fgsm_moves_every_pixel_by_epsilon() -> None:
    loss = FGSM(epsilon=0.1, clean_share=0.0).loss(Line(), IMAGE, LABEL)
    assert loss.item() == pytest.approx(cross_entropy(0.8), rel=1e-5)


def test_the_clean_share_of_a_batch_stays_clean() -> None:
    images, labels = IMAGE.repeat(4, 1, 1, 1), LABEL.repeat(4)
    loss = FGSM(epsilon=0.1, clean_share=0.25).loss(Line(), images, labels)
    assert loss.item() == pytest.approx(0.25 * cross_entropy(1.0) + 0.75 * cross_entropy(0.8), rel=1e-5)


def test_fast_fgsm_starts_at_random_and_is_projected_back() -> None:
    torch.manual_seed(0)
    images, labels = IMAGE.repeat(500, 1, 1, 1), LABEL.repeat(500)
    # A step of 2 epsilon reaches the far side from everywhere; one of 1.25 epsilon does not, from the far quarter.
    assert FastFGSM(epsilon=0.1, alpha=2.0).loss(Line(), images, labels).item() == pytest.approx(cross_entropy(0.8))
    short = FastFGSM(epsilon=0.1, alpha=1.25).loss(Line(), images, labels).item()
    assert cross_entropy(0.85) < short < cross_entropy(0.8)


def test_n_fgsm_keeps_its_noise_and_is_clipped_to_no_ball(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: the gradient's sign is -1, so the loss is at z = 1 + noise - 2 * 0.1, whatever the noise is."""
    torch.manual_seed(0)
    images, labels = IMAGE.repeat(4000, 1, 1, 1), LABEL.repeat(4000)
    defense, seen = NFGSM(epsilon=0.1, noise=2.0, alpha=1.0), []
    model = Line()
    model.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0].detach()))
    loss = defense.loss(model, images, labels)
    trained_on = seen[-1] - images
    assert trained_on.min() == pytest.approx(-0.3, abs=1e-3)  # (noise + alpha) * epsilon, three balls away
    assert trained_on.max() == pytest.approx(0.1, abs=1e-3)
    assert trained_on.mean() == pytest.approx(-0.1, abs=5e-3)
    z = (images + trained_on).sum(dim=(1, 2, 3))
    assert loss.item() == pytest.approx(torch.log1p(torch.exp(-2 * z)).mean().item(), rel=1e-5)
    still = NFGSM(epsilon=0.1, noise=0.0).loss(Line(), IMAGE, LABEL)
    assert still.item() == pytest.approx(cross_entropy(0.8), rel=1e-5)  # without noise it is FGSM
    assert NFGSM().trained_for == {"norm": "linf", "epsilon": "8/255"}


def test_n_fgsm_stays_in_the_box() -> None:
    seen: list[Tensor] = []
    model = Line()
    model.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0].detach()))
    NFGSM(epsilon=0.3).loss(model, torch.tensor([0.0, 1.0]).view(1, 1, 1, 2).repeat(50, 1, 1, 1), LABEL.repeat(50))
    assert all(images.min() >= 0 and images.max() <= 1 for images in seen)


@pytest.mark.parametrize("kind", [FGSM, FastFGSM, NFGSM, PGD])
def test_adversarial_losses_smooth_their_labels_and_the_attack_does_not(kind: type[Defense]) -> None:
    plain, smooth = (kind.from_options({"epsilon": 0.1, "label_smoothing": share}) for share in (0.0, 0.5))
    seen: list[Tensor] = []
    model = Line()
    model.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0].detach()))
    values = []
    for defense in (plain, smooth):
        torch.manual_seed(0)
        values.append(defense.loss(model, IMAGE, LABEL).item())
    first, second = seen[: len(seen) // 2], seen[len(seen) // 2 :]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    z = first[-1].sum().item()
    assert values[0] == pytest.approx(cross_entropy(z), rel=1e-5)
    assert values[1] == pytest.approx(0.75 * cross_entropy(z) + 0.25 * cross_entropy(-z), rel=1e-5)


def test_pgd_needs_its_steps() -> None:
    weak = PGD(epsilon=0.1, steps=1, step_size=0.025, random_start=False)
    assert weak.loss(Line(), IMAGE, LABEL).item() == pytest.approx(cross_entropy(0.95), rel=1e-5)
    strong = replace(weak, steps=4)
    assert strong.loss(Line(), IMAGE, LABEL).item() == pytest.approx(cross_entropy(0.8), rel=1e-5)


def test_divergence_is_kl_from_the_reference_averaged_over_rows() -> None:
    p, q = torch.tensor([[0.5, 0.5], [0.9, 0.1]]), torch.tensor([[0.25, 0.75], [0.9, 0.1]])
    by_hand = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)  # the second row is equal: 0
    assert divergence(q.log(), p.log()).item() == pytest.approx(by_hand / 2)
    assert divergence(q.log(), p.log(), reduction="sum").item() == pytest.approx(by_hand)
    other_way = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    assert divergence(p.log(), q.log()).item() == pytest.approx(other_way / 2)


def test_trades_goes_to_the_end_of_the_ball_although_the_image_itself_has_no_gradient() -> None:
    """KL grows with the distance of z from 1 on both sides; a start on either side leads to that side's end."""
    torch.manual_seed(0)
    model, images = Line(), IMAGE.repeat(200, 1, 1, 1)
    moved = TRADES(epsilon=0.1, steps=8, step_size=0.05).perturb(model, images).sum(dim=(1, 2, 3))
    torch.testing.assert_close((moved - 1).abs(), torch.full((200,), 0.2))
    assert 0.3 < (moved < 1).float().mean() < 0.7


def test_trades_loss_is_clean_loss_plus_beta_times_divergence(monkeypatch: pytest.MonkeyPatch) -> None:
    adversarial = torch.full((1, 1, 1, 2), 0.4)
    monkeypatch.setattr(TRADES, "perturb", lambda self, model, images: adversarial)
    loss = TRADES(epsilon=0.1, beta=3.0).loss(Line(), IMAGE, LABEL)
    kl = divergence(torch.tensor([[0.8, -0.8]]), torch.tensor([[1.0, -1.0]])).item()
    assert loss.item() == pytest.approx(cross_entropy(1.0) + 3 * kl, rel=1e-5)


def test_trades_raises_the_divergence_above_random_noise() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5))
    images = torch.rand(16, 3, 8, 8)
    noisy = images + 0.05 * (torch.rand_like(images) * 2 - 1).sign()
    worst = TRADES(epsilon=0.05, steps=5, step_size=0.02).perturb(model, images)
    with torch.no_grad():
        clean = model(images)
        assert divergence(model(worst), clean) > 3 * divergence(model(noisy), clean)
    assert (worst - images).abs().max() <= 0.05 + 1e-6


@pytest.mark.parametrize("defense", ALL, ids=lambda d: type(d).__name__)
def test_losses_leave_the_mode_and_give_gradients_of_the_loss_alone(defense: Defense) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)).train()
    loss = defense.loss(model, torch.rand(8, 3, 8, 8), torch.randint(0, 5, (8,)))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(module.training for module in model.modules())
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert model[1].num_batches_tracked == 1  # crafting does not count as a batch


@pytest.mark.parametrize("defense", ALL, ids=lambda d: type(d).__name__)
def test_options_survive_the_round_trip(defense: Defense) -> None:
    texts = {key: str(value) for key, value in defense.options().items()}
    assert type(defense).from_options(texts) == defense


def test_options_are_parsed() -> None:
    defense = PGD.from_options({"epsilon": "3/255", "steps": "4", "random_start": "no", "step_size": "1e-2"})
    assert defense == PGD(epsilon=3 / 255, steps=4, random_start=False, step_size=0.01)
    assert defense.trained_for == {"norm": "linf", "epsilon": "3/255"}
    assert Standard().trained_for == {}


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (PGD, {"eps": "8/255"}, "no option 'eps'.*epsilon, steps"),
        (PGD, {"epsilon": "8"}, "epsilon is 8.0"),
        (PGD, {"epsilon": "nan"}, "finite"),
        (PGD, {"epsilon": "8/0"}, "8/0"),
        (PGD, {"epsilon": "-1/255"}, "epsilon is -"),
        (PGD, {"steps": "2.5"}, "whole number"),
        (PGD, {"steps": "0"}, "at least 1"),
        (PGD, {"random_start": "maybe"}, "true or false"),
        (FGSM, {"clean_share": "1"}, "clean_share"),
        (FastFGSM, {"alpha": "0"}, "alpha"),
        (NFGSM, {"alpha": "0"}, "alpha"),
        (NFGSM, {"noise": "-1"}, "noise"),
        (PGD, {"label_smoothing": "1"}, "label_smoothing"),
        (TRADES, {"beta": "-1"}, "beta"),
        (TRADES, {"awp": "1"}, "awp"),
        (Standard, {"label_smoothing": "1"}, "label_smoothing"),
    ],
)
def test_bad_options_are_refused(kind: type[Defense], options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        kind.from_options(options)


def test_adversarial_loss_equals_the_loss_at_the_optimum_of_a_linear_model() -> None:
    """For two classes the worst linf point is known: every pixel moves against the difference of the weights."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).double()
    images, labels = 0.2 + 0.6 * torch.rand(6, 3, 2, 2, dtype=torch.float64), torch.randint(0, 2, (6,))
    weights = model[1].weight.detach()
    direction = (weights[1 - labels] - weights[labels]).sign().view_as(images)
    worst = F.cross_entropy(model(images + 0.1 * direction), labels)
    for defense in (FGSM(epsilon=0.1, clean_share=0.0), PGD(epsilon=0.1, steps=4, step_size=0.06)):
        torch.testing.assert_close(defense.loss(model, images, labels), worst)
