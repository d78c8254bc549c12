"""A user's model in files of its own, for tests of who a model is."""

from __future__ import annotations

import importlib
import sys

import pytest

NET = """
import torch
from torch import nn
from {helper} import double

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
        self.register_buffer("mean", torch.full((1,), 0.5), persistent=False)

    def forward(self, images):
        return self.body(double(images - self.mean))

def build():
    torch.manual_seed(3)
    return Net()
"""


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A user's file and one that it imports, in a folder that Python looks in."""
    (tmp_path / "doubled_here.py").write_text("def double(x):\n    return 2 * x\n")
    (tmp_path / "users_net.py").write_text(NET.format(helper="doubled_here"))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("users_net", "doubled_here", "harness_model_users_net"):
        sys.modules.pop(name, None)


def fresh(name):
    for known in ("users_net", "doubled_here"):
        sys.modules.pop(known, None)
    importlib.invalidate_caches()
    return importlib.import_module(name)
