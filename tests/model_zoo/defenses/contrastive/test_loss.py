"""SupCon and NT-Xent against cases worked by hand, and against the library's own NT-Xent."""

from __future__ import annotations

import math

import pytest
import torch
from pytorch_metric_learning.losses import NTXentLoss

from model_zoo.defenses.contrastive.loss import contrastive_loss

E = math.e
PLUS, UP, MINUS = [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]


def test_nt_xent_of_two_orthogonal_pairs() -> None:
    """Each of the four embeddings has one positive at similarity 1 and two others at 0."""
    views = torch.tensor([PLUS, UP])
    labels = torch.tensor([5, 5])  # not looked at
    loss = contrastive_loss(supervised=False, temperature=1.0)(views, views.clone(), labels)
    assert loss.item() == pytest.approx(-math.log(E / (E + 2)))


def test_the_temperature_divides_the_similarities() -> None:
    views = torch.tensor([PLUS, MINUS])
    loss = contrastive_loss(supervised=False, temperature=0.5)(views, views.clone(), torch.tensor([0, 1]))
    assert loss.item() == pytest.approx(-math.log(E**2 / (E**2 + 2 * E**-2)), rel=1e-5)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_supcon_by_hand(scale: float) -> None:
    """Two images of class 7 at right angles, and one of class 2 opposite the first; both views alike.

    First image: positives at 1, 0, 0, others at -1, -1. Second: positives at 1, 0, 0, others at 0, 0. Third: its other
    view at 1, others at -1, -1, 0, 0. Lengths do not matter.
    """
    views = torch.tensor([PLUS, UP, MINUS])
    loss = contrastive_loss(supervised=True, temperature=1.0)(views, scale * views, torch.tensor([7, 7, 2]))
    first = math.log(E + 2 + 2 / E) - 1 / 3
    second = math.log(E + 4) - 1 / 3
    third = math.log(E + 2 / E + 2) - 1
    assert loss.item() == pytest.approx((first + second + third) / 3, rel=1e-5)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_nt_xent_is_the_library_s_with_the_same_gradient(temperature: float) -> None:
    torch.manual_seed(0)
    first, second = torch.randn(2, 6, 5, requires_grad=True).unbind()
    groups = torch.arange(6)
    ours = contrastive_loss(supervised=False, temperature=temperature)(first, second, torch.zeros(6, dtype=torch.int64))
    library = NTXentLoss(temperature=temperature)(torch.cat([first, second]), groups.repeat(2))
    torch.testing.assert_close(ours, library)
    torch.testing.assert_close(torch.autograd.grad(ours, first), torch.autograd.grad(library, first))


def test_embeddings_that_are_apart_by_class_count_all() -> None:
    """Losses that round to 0 stay in the mean: two of three images are perfect here."""
    views = torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]])
    moved = torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0, 1.0, 0]])
    loss = contrastive_loss(supervised=False, temperature=0.01)(views, moved, torch.arange(3))
    # Third image: its first view sees 0 everywhere, its second view 1 at the second image's two.
    third = [math.log(5), 100 + math.log(2)]
    second = [math.log(2), math.log(2)]  # its positive and the third's second view, both at 1
    assert loss.item() == pytest.approx((0 + 0 + sum(second) + sum(third)) / 6, rel=1e-5)
