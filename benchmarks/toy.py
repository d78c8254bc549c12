"""A tiny model and data made on the fly, for measuring what a run costs besides the network: no image is kept."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from harness.base.threat import parse_grid
from harness.inputs.suite import Suite
from harness.types import AttackSpec, LoadedModel

SHAPE = (3, 8, 8)
CLASSES = 5
FGSM = AttackSpec("fgsm", "torchattacks", "fgsm", {})
PGD = AttackSpec("pgd", "torchattacks", "pgd", {"steps": 10, "step_size": "epsilon/4", "random_start": True})


class Net(nn.Module):
    """A small convolution network; `width` times 192 floats of each image are held at once."""

    def __init__(self, width: int = 1) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 4 * 4, CLASSES))
        self.width = width

    def forward(self, images: Tensor) -> Tensor:
        if self.width > 1:
            images = images.repeat(self.width, 1, 1, 1, 1).square().sqrt().mean(0)
        return 20 * self.body(images)


class Made:
    """`n` random images, labeled by the model but for one in sixteen; each depends on its index alone."""

    def __init__(self, model: nn.Module, n: int) -> None:
        self.model, self.n = model, n
        self.name = f"made-{n}"
        self.classes: Sequence[str] = [str(label) for label in range(CLASSES)]

    def __len__(self) -> int:
        return self.n

    def take(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Images float32 [n,3,8,8] in [0,1] and labels int64 [n]."""
        rows = torch.as_tensor(list(indices), dtype=torch.int64)
        pixels = torch.arange(3 * 8 * 8, dtype=torch.int64)
        mixed = (rows[:, None] * 1_000_003 + pixels * 7919 + 12345) * 2_654_435_761
        images = ((mixed >> 16) & 0xFF).float().div_(255).view(-1, *SHAPE)
        with torch.no_grad():
            labels = self.model(images).argmax(1)
        return images, torch.where(rows % 16 == 0, (labels + 1) % CLASSES, labels)


def case(
    n: int = 32, chunk: int = 8, attacks: Sequence[AttackSpec] = (FGSM, PGD), width: int = 1
) -> tuple[LoadedModel, Suite, Made]:
    """Model, suite and data of one run."""
    model = Net(width).eval()
    suite = Suite(
        name="faults",
        version=1,
        norm="linf",
        grid=parse_grid(["2/255", "8/255"], "linf"),
        mode="observed",
        chunk=chunk,
        attacks=tuple(attacks),
    )
    return LoadedModel("toy", model, CLASSES, SHAPE), suite, Made(Net().eval(), n)
