"""The sizes on which the tools' Square crashes are those that `adapters.square.misfit` says, and no others."""

import pytest
import torch
from torch import nn

from adapters.square import misfit
from harness.base.randomness import forked

SIDES = (1, 2, 3, 4, 5, 6, 7, 8, 12, 14, 18, 19, 23, 24, 25, 32)


class Dim(nn.Module):
    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, images):
        score = images.flatten(1).mean(1)
        return torch.stack([score + 9, score * 0], 1)


def crashes(run, height, width):
    images = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    try:
        with forked(0), torch.no_grad():
            run(images, torch.zeros(2, dtype=torch.int64))
    except (RuntimeError, ZeroDivisionError):
        return True
    return False


@pytest.mark.autoattack
@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
def test_of_pyautoattack(norm):
    square = pytest.importorskip("pyautoattack.square")

    def run(images, labels):
        options = {"n_queries": 2, "eps": 0.5, "resc_schedule": False, "device": images.device}
        square.SquareAttack(Dim(), norm=norm, **options).perturb(images, labels)

    wrong = [(h, w) for h in SIDES for w in SIDES if crashes(run, h, w) != (misfit(h, w, norm.lower()) is not None)]
    assert wrong == []


@pytest.mark.torchattacks
@pytest.mark.parametrize(("norm", "p_init"), [("Linf", 0.8), ("L2", 0.8), ("L2", 1.0), ("L2", 0.1)])
def test_of_torchattacks(norm, p_init):
    tool = pytest.importorskip("torchattacks")

    def run(images, labels):
        tool.Square(Dim(), norm=norm, eps=0.5, n_queries=2, p_init=p_init, resc_schedule=False)(images, labels)

    found = {(h, w): misfit(h, w, norm.lower(), p_init) is not None for h in SIDES for w in SIDES}
    assert [size for size, bad in found.items() if crashes(run, *size) != bad] == []
