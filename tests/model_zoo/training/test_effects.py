"""What averaging, label smoothing and cutout do to a tiny model, and not only that they run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from model_zoo.datasets.base import ArrayDataset
from model_zoo.defenses.standard import Standard
from model_zoo.training.augment import Augmentation
from model_zoo.training.loop import Settings, fit

SETTINGS = Settings(epochs=12, batch_size=16, lr=1e-2, weight_decay=0.0, schedule="constant", precision="float32")


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2))


def cues(n: int = 160) -> ArrayDataset:
    """Two classes that two corners tell: the first plainly, the other faintly, each alone being enough."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 2
    images = rng.integers(120, 136, (n, 16, 16, 3), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:4, :4] = 255 * label
        image[-4:, -4:] = 128 + (60 if label else -60)
    return ArrayDataset("cues", images, labels, ["dark", "bright"])


def test_the_average_lies_closer_to_the_optimum_than_a_step_of_a_noisy_training() -> None:
    """The loss is (w - x)^2 with one random x a batch, whose mean is 0.5: the weight itself never settles."""
    rng = np.random.default_rng(1)
    images = np.repeat(rng.integers(0, 256, (640, 1, 1, 1), dtype=np.uint8), 3, axis=3)
    data = ArrayDataset("points", images, np.zeros(640, dtype=np.int64), ["a", "b"])
    optimum = images[..., 0].mean() / 255

    class Weight(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.tensor(0.5))

    def squared(model: nn.Module, batch: Tensor, labels: Tensor) -> Tensor:
        return (model.w - batch[0].mean()) ** 2  # type: ignore[operator, union-attr]

    def error(ema: float) -> float:
        history = fit(
            Weight(), squared, data, replace(SETTINGS, lr=0.05, ema=ema),
            validate=lambda model: {"error": float((model.w - optimum).item() ** 2)},  # type: ignore[operator, union-attr]
        )  # fmt: skip
        return float(np.mean([row["error"] for row in history]))

    assert error(0.98) < 0.5 * error(0.0)


def test_label_smoothing_bounds_the_confidence() -> None:
    """With two classes and a share of 0.2 the best answer is 0.9, however long the training."""
    data = cues()
    images, labels = data.take(range(len(data)))

    def confidence(share: float) -> float:
        model = linear()
        fit(model, Standard(label_smoothing=share).loss, data, SETTINGS)
        return model(images).softmax(1)[range(len(labels)), labels].mean().item()

    assert confidence(0.0) > 0.99
    assert abs(confidence(0.2) - 0.9) < 0.02


def test_cutout_makes_a_model_learn_the_second_cue() -> None:
    data = cues()
    images, labels = data.take(range(len(data)))
    images[..., :4, :4] = 0.5  # the plain cue is gone

    def loss_on_the_rest(cutout: float) -> float:
        model = linear()
        augment = replace(Augmentation.of_strength(0), cutout=cutout)
        fit(model, Standard().loss, data, replace(SETTINGS, epochs=20), augment=augment)
        return nn.functional.cross_entropy(model(images), labels).item()

    assert loss_on_the_rest(0.6) < 0.5 * loss_on_the_rest(0.0)
