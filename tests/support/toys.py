"""Tiny models and data sets whose robustness is known in closed form."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from harness.attack import BaseAttack
from harness.run.progress import Silent
from harness.types import AttackSpec, LoadedModel, Problem

SHAPE = (3, 8, 8)
CASCADE = AttackSpec(
    "short",
    "autoattack",
    "custom",
    {
        "components": ["apgd-ce", "square"],
        "steps": 4,
        "eot": 1,
        "apgd_restarts": 1,
        "apgd_targets": 4,
        "fab_restarts": 1,
        "fab_targets": 4,
        "queries": 20,
        "larger_radii": False,
    },
)
"""AutoAttack in small: one component that follows gradients, one that does not."""


class Linear(nn.Module):
    """Two classes, logits (0, w.x + b): broken in linf where |w.x + b| < epsilon |w|_1, in l2 where < epsilon |w|_2."""

    def __init__(self, seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(shape, generator=generator).flatten())
        self.bias = nn.Parameter(-0.5 * self.weight.detach().sum())

    def forward(self, images: Tensor) -> Tensor:
        score = images.flatten(1) @ self.weight + self.bias
        return torch.stack([torch.zeros_like(score), score], dim=1)

    def margin(self, images: Tensor, norm: str) -> Tensor:
        """Distance of each image to the decision boundary, float64 [n], box aside."""
        weight = self.weight.detach().double()
        score = images.double().flatten(1) @ weight + self.bias.detach().double()
        return score.abs() / (weight.abs().sum() if norm == "linf" else weight.norm())


class SmallNet(nn.Module):
    """A small network with batch norm and dropout, so that modes and buffers matter."""

    def __init__(self, classes: int = 5, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.body = nn.Sequential(
                nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(),
                nn.Linear(8 * 4 * 4, classes),
            )  # fmt: skip
            norm = self.body[1]
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 1.5)

    def forward(self, images: Tensor) -> Tensor:
        return 4 * self.body(images)


class Patient(SmallNet):
    """Every query takes 30 ms."""

    def forward(self, images: Tensor) -> Tensor:
        time.sleep(0.03)
        return super().forward(images)


@dataclass
class Toy:
    """A data set in memory."""

    images: Tensor
    labels: Tensor
    classes: Sequence[str]
    name: str = "toy"

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        rows = list(indices)
        return self.images[rows], self.labels[rows]


def uniform_images(n: int, seed: int, low: float = 0.0, high: float = 1.0, eight_bit: bool = False) -> Tensor:
    """Random images [n,3,8,8]; as eight-bit files hold them if asked."""
    generator = torch.Generator().manual_seed(seed)
    images = low + (high - low) * torch.rand(n, *SHAPE, generator=generator)
    return (images * 255).round().div(255) if eight_bit else images


def labeled(model: nn.Module, n: int = 60, seed: int = 1, wrong: int = 0, **options: Any) -> Toy:
    """Random images labeled by the model itself, of which the first `wrong` get another label."""
    images = uniform_images(n, seed, **options)
    model.eval()
    with torch.no_grad():
        logits = model(images)
    labels = logits.argmax(1)
    classes = logits.shape[1]
    labels[:wrong] = (labels[:wrong] + 1) % classes
    return Toy(images, labels, [str(i) for i in range(classes)])


def loaded(model: nn.Module, classes: int, name: str = "toy-model") -> LoadedModel:
    """A module as the registry would hand it out."""
    return LoadedModel(name, model, classes)


@dataclass(frozen=True)
class Scripted(BaseAttack):
    """An attack that calls a function: ``play(model, problem) -> images or None``."""

    play: Any = None
    strength: Any = field(default_factory=dict)
    distribution = "torch"
    norms = ("linf", "l2", "l1")
    freezable = True

    def perturb(self, model: nn.Module, problem: Problem) -> Tensor | None:
        back: Tensor | None = self.play(model, problem)
        return back


def scripted(play: Any, norm: str = "linf", params: Mapping[str, Any] | None = None, **flags: Any) -> Scripted:
    """A `Scripted` attack, with class flags such as ``kind`` or ``iterative`` set for this one alone."""
    kind = type("ScriptedHere", (Scripted,), dict(flags))
    return kind(AttackSpec("scripted", "test", "scripted", params or {}), norm, play=play)  # type: ignore[arg-type,return-value]


class StopAfter(Silent):
    """Stops a run after so many units."""

    def __init__(self, units: int) -> None:
        self.left = units

    def finished(self, done: Any) -> None:
        self.left -= 1

    def stop(self) -> bool:
        return self.left <= 0
