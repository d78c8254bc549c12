"""The encoder: the classifier's copy with another head, whose batch-norm branches stay apart."""

from __future__ import annotations

import pytest
import torch
from contrast import classifier
from torch import Tensor, nn

from harness.errors import UsageError
from model_zoo.defenses.contrastive.frameworks import A2A, A2S, S2S, Contrastive
from model_zoo.defenses.contrastive.loss import contrastive_loss
from model_zoo.defenses.contrastive.network import ADVERSARIAL, CLEAN, DualBatchNorm, Encoder
from model_zoo.loading.architectures import Normalized, build

BOTH = (CLEAN, ADVERSARIAL)


def state(module: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in module.state_dict().items()}


@pytest.mark.parametrize(("seen", "unseen"), [(CLEAN, ADVERSARIAL), (ADVERSARIAL, CLEAN)])
def test_an_input_moves_the_statistics_of_its_own_branch_alone(seen: str, unseen: str) -> None:
    encoder = Encoder(classifier(), BOTH, 4).train()
    before = state(encoder)
    encoder(torch.rand(8, 3, 8, 8), seen)
    changed = {key for key, value in encoder.state_dict().items() if not torch.equal(value, before[key])}
    expected = {f"model.{norm}.{seen}.{name}" for norm in (1, 4) for name in ("running_mean", "running_var")}
    assert changed == expected | {f"model.{norm}.{seen}.num_batches_tracked" for norm in (1, 4)}
    assert not any(unseen in key for key in changed)


def test_the_running_statistics_are_those_of_each_kind_of_input() -> None:
    norm = DualBatchNorm(nn.BatchNorm2d(1, momentum=1.0)).train()
    norm(torch.full((4, 1, 2, 2), 3.0))
    norm.branch = ADVERSARIAL
    norm(torch.full((4, 1, 2, 2), 5.0))
    assert (norm.clean.running_mean.item(), norm.adversarial.running_mean.item()) == (3.0, 5.0)
    norm.eval()
    assert norm(torch.full((1, 1, 1, 1), 5.0)).item() == 0
    norm.branch = CLEAN
    assert norm(torch.full((1, 1, 1, 1), 3.0)).item() == 0


@pytest.mark.parametrize("branch", BOTH)
def test_gradients_reach_the_shared_weights_and_the_branch_s_own(branch: str) -> None:
    encoder = Encoder(classifier(), BOTH, 4).train()
    encoder(torch.rand(8, 3, 8, 8), branch).square().sum().backward()
    touched = {key for key, parameter in encoder.named_parameters() if parameter.grad is not None}
    other = ADVERSARIAL if branch == CLEAN else CLEAN
    assert touched == {key for key, _ in encoder.named_parameters() if other not in key}


@pytest.mark.parametrize("defense", [S2S(), A2S(), A2A()], ids=lambda d: d.framework)
def test_the_loss_trains_everything_and_crafting_leaves_no_trace(defense: Contrastive) -> None:
    encoder = Encoder(classifier(), defense.branches, 4).train()
    loss = defense.contrast(encoder, torch.rand(16, 3, 8, 8), torch.arange(8) % 3, contrastive_loss(True, 0.1))
    assert all(parameter.grad is None for parameter in encoder.parameters())
    assert all(module.training for module in encoder.modules())
    loss.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in encoder.parameters() if parameter.ndim > 1)
    counts = {key: int(value) for key, value in encoder.state_dict().items() if key.endswith("num_batches_tracked")}
    assert set(counts.values()) == {1}  # one batch each; the attack's passes do not count
    assert len(counts) == 2 * len(defense.branches)


def test_the_classifier_itself_is_left_alone() -> None:
    model = classifier()
    before = state(model)
    encoder = Encoder(model, BOTH, 4)
    assert encoder(torch.rand(2, 3, 8, 8), CLEAN).shape == (2, 4)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(1)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert model(torch.rand(2, 3, 8, 8)).shape == (2, 3)


@pytest.mark.parametrize("branch", BOTH)
def test_what_is_extracted_computes_the_branch_s_features(branch: str) -> None:
    torch.manual_seed(1)
    encoder = Encoder(classifier(), BOTH, 4).train()
    for _ in range(3):
        encoder(torch.rand(8, 3, 8, 8), CLEAN)
        encoder(torch.rand(8, 3, 8, 8) ** 3, ADVERSARIAL)
    with torch.no_grad():
        encoder.model[4].adversarial.weight.mul_(2)
    plain, images = encoder.extract(branch).eval(), torch.rand(5, 3, 8, 8)
    wanted = {key for key in classifier().state_dict() if not key.startswith("8.")}
    assert set(plain.state_dict()) == wanted
    encoder.eval()
    projection = encoder.model[8]
    assert torch.equal(projection(plain(images)), encoder(images, branch))
    other = encoder.extract(ADVERSARIAL if branch == CLEAN else CLEAN).eval()
    assert not torch.allclose(plain(images), other(images))


def test_torchvision_s_networks_fit_with_their_normalization() -> None:
    model = build("resnet18", 5, (3, 32, 32), (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
    encoder = Encoder(model, BOTH, 16).eval()
    assert isinstance(encoder.model, Normalized)
    images = torch.rand(2, 3, 32, 32)
    assert encoder(images, ADVERSARIAL).shape == (2, 16)
    model.eval()
    model.network.fc = nn.Identity()  # type: ignore[union-attr]
    assert torch.equal(encoder.extract(ADVERSARIAL)(images), model(images))  # both branches start as the classifier's


def test_a_network_without_a_linear_layer_is_refused() -> None:
    with pytest.raises(UsageError, match="last linear layer"):
        Encoder(nn.Sequential(nn.Conv2d(3, 2, 8), nn.Flatten()), BOTH, 4)
