"""The loop: it learns, resumes to the same weights bit for bit, stops on NaN, and follows its schedule."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from power_cut import Interrupted, interrupting
from torch import Tensor, nn

from harness.errors import TrainingFailed, UsageError
from model_zoo.datasets.base import ArrayDataset
from model_zoo.defenses.fast_fgsm import FastFGSM
from model_zoo.defenses.standard import Standard
from model_zoo.training import checkpoint
from model_zoo.training.augment import Augmentation
from model_zoo.training.loop import Settings, fit, one_cycle

SETTINGS = Settings(epochs=3, batch_size=8, lr=1e-2, checkpoint_seconds=0.0, seed=3)


def bars(n: int = 44) -> ArrayDataset:
    """Two classes: a bright upper or a bright lower half."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 2
    images = rng.integers(0, 80, (n, 8, 8, 3), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[4 * label : 4 * label + 4] += 100
    return ArrayDataset("bars", images, labels, ["up", "down"])


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Linear(32, 2),
    )


def test_it_learns_what_can_be_learned() -> None:
    model, data = network(), bars()
    history = fit(model, Standard().loss, data, replace(SETTINGS, epochs=8))
    assert [row["epoch"] for row in history] == list(range(1, 9))
    assert history[-1]["loss"] < 0.1 < history[0]["loss"]
    images, labels = data.take(range(len(data)))
    assert not model.training
    assert (model(images).argmax(dim=1) == labels).all()


@pytest.mark.parametrize(
    ("calls", "precision"), [(2, "float32"), (7, "float32"), (11, "float32"), (13, "float32"), (7, "bfloat16")]
)
def test_a_resumed_training_gives_the_same_weights(calls: int, precision: str, tmp_path: Path) -> None:
    """Five batches an epoch: interrupted within the first, second and third one, with everything that is random on."""
    loss = FastFGSM(epsilon=4 / 255).loss
    whole = network()
    settings = replace(SETTINGS, precision=precision)
    expected = fit(whole, loss, bars(), settings, augment=Augmentation())

    model, file = network(), tmp_path / "resume.pt"
    with pytest.raises(Interrupted):
        fit(model, interrupting(loss, calls), bars(), settings, augment=Augmentation(), resume=file)
    torch.manual_seed(99)  # another process has other states
    model = network()
    history = fit(model, loss, bars(), settings, augment=Augmentation(), resume=file)
    for key, value in whole.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key
    assert [row["loss"] for row in history] == [row["loss"] for row in expected]


def test_the_average_is_kept_validated_and_resumed(tmp_path: Path) -> None:
    """By hand: w goes 0, -1, -2, ... by a loss of slope 1; the average follows with min(decay, (1 + t) / (10 + t))."""

    class Weight(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.zeros(()))

    def slope(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        return model.w * 1.0  # type: ignore[operator, no-any-return, union-attr]

    settings = Settings(
        epochs=3, batch_size=8, lr=1.0, weight_decay=0.0, schedule="constant", ema=0.3, precision="float32"
    )
    expected, seen = 0.0, []
    for step in range(15):  # Adam's first steps are of length lr, whatever the gradient's size
        decay = min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * -(step + 1)
        if step % 5 == 4:
            seen.append(expected)

    def validate(model: nn.Module) -> dict[str, float]:
        return {"w": model.w.item()}  # type: ignore[operator, union-attr]

    model = Weight()
    history = fit(model, slope, bars(), settings, validate=validate)
    assert [row["w"] for row in history] == pytest.approx(seen, rel=1e-4)
    assert model.w.item() == pytest.approx(expected, rel=1e-4)
    again, file = Weight(), tmp_path / "resume.pt"
    with pytest.raises(Interrupted):
        fit(again, interrupting(slope, 8), bars(), replace(settings, checkpoint_seconds=0.0), resume=file)
    again = Weight()
    fit(again, slope, bars(), replace(settings, checkpoint_seconds=0.0), resume=file)
    assert again.w.item() == model.w.item()


def test_the_average_has_batch_norm_s_statistics_and_leaves_its_counter_alone() -> None:
    model = network()
    fit(model, Standard().loss, bars(), replace(SETTINGS, ema=0.99))
    assert model[1].num_batches_tracked == 15
    plain = network()
    fit(plain, Standard().loss, bars(), SETTINGS)
    assert not torch.equal(plain[1].running_mean, model[1].running_mean)
    images, labels = bars().take(range(44))
    assert (model(images).argmax(dim=1) == labels).all()


def test_a_constant_rate_is_constant() -> None:
    assert {Settings(schedule="constant").share(step, 50) for step in range(50)} == {1.0}
    assert Settings().share(20, 50) == one_cycle(20, 50, 0.15)
    with pytest.raises(UsageError, match=r"schedule is 'step'; give one of cycle, constant"):
        Settings(schedule="step")
    with pytest.raises(UsageError, match=r"ema is 1\.0; give 0 for none"):
        Settings(ema=1.0)


def test_a_checkpoint_from_before_schedule_and_average_goes_on() -> None:
    before = (
        "{'epochs': 10, 'batch_size': 128, 'lr': 0.001, 'weight_decay': 0.05, 'warmup': 0.15, 'seed': 0,"
        " 'precision': 'auto', 'checkpoint_seconds': 180.0}"
    )
    assert Settings().text() == before
    assert "'ema': 0.9" in Settings(ema=0.9).text()


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_the_precision_is_that_of_the_passes_and_not_of_the_weights(precision: str, dtype: torch.dtype) -> None:
    model, seen = network(), []
    model[0].register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
    fit(model, Standard().loss, bars(), replace(SETTINGS, epochs=1, precision=precision))
    assert set(seen) == {dtype}
    assert {value.dtype for value in model.parameters()} == {torch.float32}


@pytest.mark.parametrize(("native", "meant"), [(True, "bfloat16"), (False, "float32")])
def test_auto_means_bfloat16_where_the_processor_has_it(
    native: bool, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert Settings().on(torch.device("cpu")).precision == meant
    assert Settings(precision="float32").on(torch.device("cpu")).precision == "float32"
    with pytest.raises(UsageError, match=r"precision is 'half'; give one of auto, float32, bfloat16"):
        Settings(precision="half")


def test_the_seed_decides() -> None:
    def weights(seed: int) -> Tensor:
        model = network()
        fit(model, Standard().loss, bars(), replace(SETTINGS, epochs=1, seed=seed))
        return model[0].weight.detach()

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "resume.pt"
    with pytest.raises(Interrupted):
        fit(network(), interrupting(Standard().loss, 3), bars(), SETTINGS, resume=file, fingerprint="a")
    with pytest.raises(UsageError, match=r"other settings.*another output folder"):
        fit(network(), Standard().loss, bars(), SETTINGS, resume=file, fingerprint="b")
    with pytest.raises(UsageError, match="other settings"):
        fit(network(), Standard().loss, bars(), replace(SETTINGS, lr=1e-3), resume=file, fingerprint="a")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x02N."])
def test_a_corrupt_checkpoint_is_named(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "resume.pt"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=r"resume\.pt is no training checkpoint"):
        fit(network(), Standard().loss, bars(), SETTINGS, resume=file)


def test_an_interrupted_save_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "resume.pt"
    checkpoint.save(file, {"settings": "s", "epoch": 1})

    def half(content: object, stream: object) -> None:
        stream.write(b"half")  # type: ignore[attr-defined]
        raise Interrupted

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(Interrupted):
        checkpoint.save(file, {"settings": "s", "epoch": 2})
    assert checkpoint.load(file, "s") == {"settings": "s", "epoch": 1}


def test_random_states_come_back(tmp_path: Path) -> None:
    checkpoint.seed_everything(5)
    np.random.normal()
    random.random()
    checkpoint.save(tmp_path / "c", {"settings": "", "random": checkpoint.random_states()})
    drawn = (random.random(), random.gauss(), np.random.normal(size=3).tolist(), torch.rand(3).tolist())
    checkpoint.seed_everything(6)
    found = checkpoint.load(tmp_path / "c", "")
    assert found is not None
    checkpoint.restore_random_states(found["random"])
    assert (random.random(), random.gauss(), np.random.normal(size=3).tolist(), torch.rand(3).tolist()) == drawn


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_training(value: float) -> None:
    model = network()

    def loss(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(model(images), labels) * value

    with pytest.raises(TrainingFailed, match=r"epoch 1, batch 1.*--lr"):
        fit(model, loss, bars(), SETTINGS)
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


def test_validation_joins_the_history_in_eval_mode() -> None:
    modes = []

    def validate(model: nn.Module) -> dict[str, float]:
        modes.append(model.training)
        return {"clean": 0.5}

    history = fit(network(), Standard().loss, bars(), replace(SETTINGS, epochs=2), validate=validate)
    assert modes == [False, False]
    assert [row["clean"] for row in history] == [0.5, 0.5]
    assert set(history[0]) == {"epoch", "loss", "clean", "seconds"}


def test_every_image_is_seen_once_an_epoch() -> None:
    seen: list[Tensor] = []

    def loss(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        seen.append(images.sum(dim=(1, 2, 3)))
        return F.cross_entropy(model(images), labels)

    fit(network(), loss, bars(40), replace(SETTINGS, epochs=2))
    first, second = torch.cat(seen[:5]), torch.cat(seen[5:])
    assert torch.allclose(first.sort().values, second.sort().values)
    assert not torch.equal(first, second)


def test_a_set_smaller_than_a_batch_is_refused() -> None:
    with pytest.raises(UsageError, match="4 images, less than one batch of 8"):
        fit(network(), Standard().loss, bars(4), SETTINGS)
