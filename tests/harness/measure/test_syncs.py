"""How often a query makes the host wait for the device: on a GPU each of these is a stall.

Counted without a GPU: the operations that need a value or a size on the host are the same on every device.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from toys import Linear, labeled, loaded

from harness.inputs.reference import ReferenceModel
from harness.measure.unit.board import WitnessBoard
from harness.measure.unit.observer import ObservedModel

WAITING = ("aten._local_scalar_dense", "aten.nonzero", "aten.equal", "aten.masked_select", "aten.unique")


class Waits(TorchDispatchMode):
    """Counts operations that wait for the device."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += str(func).startswith(WAITING)
        return func(*args, **(kwargs or {}))


def waits(observer, images):
    images = images.clone().requires_grad_()
    with Waits() as counted:
        torch.autograd.grad(observer(images).sum(), images)
    return counted.count


@pytest.fixture
def setting():
    model = Linear()
    data = labeled(model, 20, low=0.35, high=0.65)
    needed = model.margin(data.images, "linf")
    epsilon = float(needed.median()) + 1e-4
    sign = torch.where(data.labels == 1, -1.0, 1.0)[:, None] * model.weight.detach().sign()
    with ReferenceModel(loaded(model, 2)) as reference:
        board = WitnessBoard(reference, data.images, data.labels, "linf", epsilon)
        yield reference, board, data.images, (data.images + epsilon * sign.view_as(data.images)).clamp(0, 1)


def test_a_query_that_finds_nothing_waits_once(setting):
    """To know that nothing was found; with broken rows left out of the batch, too."""
    reference, board, clean, moved = setting
    observer = ObservedModel(reference.module, board)
    assert [waits(observer, clean) for _ in range(3)] == [1, 1, 1]
    found = waits(observer, moved)
    assert 0 < board.n_safe < 20
    assert found > 1
    assert waits(observer, clean) == 2  # which rows are left is asked once
    assert [waits(observer, clean) for _ in range(3)] == [1, 1, 1]


def test_a_query_that_is_only_counted_waits_never(setting):
    reference, board, clean, moved = setting
    observer = ObservedModel(reference.module, board, "count")
    assert [waits(observer, images) for images in (clean, moved)] == [0, 0]
