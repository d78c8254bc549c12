"""Validation while training: clean, FGSM and quick-PGD accuracy on a fixed part of the validation split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.base.torch_state import eval_mode
from harness.types import Dataset
from model_zoo.defenses.inner import perturb


@dataclass(kw_only=True)
class Validator:
    """Measures a model after each epoch; the attacks are quick looks, not results.

    The rows are drawn once with a fixed seed: `clean_rows` of each data set for clean accuracy, the first `attack_rows`
    of those for FGSM and PGD with `steps` steps of epsilon/`steps` * 2 from a random start.
    """

    datasets: Sequence[Dataset]
    epsilon: float
    steps: int = 5
    clean_rows: int = 2000
    attack_rows: int = 300
    batch: int = 256

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self._data: list[tuple[Dataset, list[int]]] = []
        for dataset in self.datasets:
            rows = torch.randperm(len(dataset), generator=generator)[: self.clean_rows]
            self._data.append((dataset, rows.tolist()))

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """``clean``, ``fgsm``, ``pgd`` over all sets, and ``clean/<name>`` for each; accuracies in [0,1]."""
        device = next(model.parameters()).device
        measured: dict[str, float] = {}
        totals = {"clean": [0, 0], "fgsm": [0, 0], "pgd": [0, 0]}
        with eval_mode(model), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(0)  # the same starts each epoch, so that epochs can be compared
            for dataset, rows in self._data:
                right = 0
                for start in range(0, len(rows), self.batch):
                    images, labels = (t.to(device) for t in dataset.take(rows[start : start + self.batch]))
                    right += _correct(model, images, labels)
                _add(totals["clean"], right, len(rows))
                measured[f"clean/{dataset.name}"] = right / max(len(rows), 1)
                chosen = rows[: self.attack_rows]
                for start in range(0, len(chosen), self.batch):
                    images, labels = (t.to(device) for t in dataset.take(chosen[start : start + self.batch]))
                    for name in ("fgsm", "pgd"):
                        attacked = self._attack(model, images, labels, name)
                        _add(totals[name], _correct(model, attacked, labels), len(labels))
        return {name: right / max(n, 1) for name, (right, n) in totals.items()} | measured

    def _attack(self, model: nn.Module, images: Tensor, labels: Tensor, name: str) -> Tensor:
        steps = 1 if name == "fgsm" else self.steps
        return perturb(
            lambda candidates: F.cross_entropy(model(candidates), labels, reduction="sum"),
            images,
            epsilon=self.epsilon,
            steps=steps,
            step_size=self.epsilon if name == "fgsm" else 2 * self.epsilon / steps,
            random_start=name == "pgd",
        )


def _correct(model: nn.Module, images: Tensor, labels: Tensor) -> int:
    with torch.no_grad():
        return int((model(images).argmax(dim=1) == labels).sum())


def _add(total: list[int], right: int, n: int) -> None:
    total[0] += right
    total[1] += n
