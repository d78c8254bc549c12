"""A fault that all tools' Square has.

A test here fails when an upgrade mends its fault: then the work-around and the line in docs/tools.md can go.
"""

import warnings

import pytest
import torch
from slope import Slope, gray
from strikes import make

from harness.base.randomness import forked
from harness.types import Problem


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("autoattack.square", marks=pytest.mark.autoattack),
        pytest.param("torchattacks.square", marks=pytest.mark.torchattacks),
        pytest.param("art.square", marks=pytest.mark.art),
    ],
)
def test_square_never_changes_the_last_row_and_column_after_its_start(name):
    """In all three tools the last place of a window is left out of the draw."""
    pytest.importorskip({"autoattack": "pyautoattack"}.get(name.partition(".")[0], name.partition(".")[0]))
    changes = {"steps": 60} if name == "art.square" else {"queries": 60}
    queries = []

    class Recorded(Slope):
        def forward(self, images):
            queries.append(images.detach().clone())
            return super().forward(images)

    attack = make(name, "linf", **changes)
    with forked(0), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        attack.perturb(Recorded(at=0.9), Problem(*gray(0.5, 1), "linf", 0.1, 0, 3, 1))
    moved = [query for query in queries if len(query) == 1 and not torch.equal(query, gray(0.5, 1)[0])]
    edges = torch.cat([torch.cat([query[:, :, -1].flatten(1), query[:, :, :, -1].flatten(1)], 1) for query in moved])
    inner = torch.cat([query[:, :, :-1, :-1].flatten(1) for query in moved])
    assert len(edges.unique(dim=0)) == 1
    assert len(inner.unique(dim=0)) > 10
