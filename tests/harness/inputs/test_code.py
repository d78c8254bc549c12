"""Models and attacks of one name and with the same tensors are told apart by their code."""

from __future__ import annotations

import importlib.util
import sys
import textwrap

import numpy as np
import pytest
import torch
from torch import nn

from harness.inputs.identity import class_code, is_strange, model_code

SOURCE = """
import torch
from torch import nn

SCALE = 2.0

def helper(x):
    return x * SCALE

class Rounded(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        return x.round()

    @staticmethod
    def backward(context, grad):
        return grad

class Net(nn.Module):
    limit = 3

    def __init__(self, masked=False):
        super().__init__()
        self.inner, self.masked = nn.Linear(2, 2), masked

    def forward(self, x):
        return self.inner(helper(Rounded.apply(x))).clamp(-self.limit, self.limit)
"""


def net(tmp_path, source=SOURCE, name="users_file", **options):
    """An instance of the file's class, its source written and imported anew."""
    path = tmp_path / f"{name}.py"
    path.write_text(textwrap.dedent(source), encoding="utf-8")
    sys.modules.pop(name, None)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    torch.manual_seed(0)
    return module.Net(**options)


def digest(folder, *arguments, **options):
    folder.mkdir(exist_ok=True)
    return model_code(net(folder, *arguments, **options))


def test_the_same_code_has_the_same_hash_wherever_it_lies(tmp_path):
    assert digest(tmp_path / "a") == digest(tmp_path / "b")


def test_what_nobody_calls_does_not_count(tmp_path):
    assert digest(tmp_path / "a") == digest(tmp_path / "b", SOURCE + "\n\ndef report():\n    print(1)\n")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return grad\n", "return grad * 0\n"),  # only the backward pass
        ("return x * SCALE", "return x + SCALE"),  # a helper
        ("SCALE = 2.0", "SCALE = 3.0"),  # what the helper names
        ("limit = 3", "limit = 4"),  # an attribute of the class
        ("nn.Linear(2, 2)", "nn.Linear(2, 2).requires_grad_()"),
    ],
)
def test_other_code_has_another(tmp_path, old, new):
    assert old in SOURCE
    assert digest(tmp_path / "a") != digest(tmp_path / "b", SOURCE.replace(old, new))


def test_so_have_other_attributes_and_hooks(tmp_path):
    plain = digest(tmp_path / "a")
    assert digest(tmp_path / "a", masked=True) != plain
    codes = []
    for _ in range(2):
        hooked = net(tmp_path)
        hooked.inner.register_full_backward_hook(lambda module, grad, out: (grad[0] * 0,))
        codes.append(model_code(hooked))
    assert codes[0] == codes[1] != plain
    assert model_code(nn.LeakyReLU(0.1)) != model_code(nn.LeakyReLU(0.2))


@pytest.mark.parametrize("constant", [torch.ones, np.ones])
def test_so_have_constants_that_no_state_dict_holds(tmp_path, constant):
    model, codes = net(tmp_path), []
    for factor in (1, 2, 1):
        model.mask = factor * constant((2, 3))
        codes.append(model_code(model))
    assert codes[0] == codes[2] != codes[1]


def test_mode_and_tensors_are_told_by_others(tmp_path):
    model = net(tmp_path)
    before = model_code(model)
    model.eval()
    model.inner.weight.data.zero_()
    assert model_code(model) == before


def test_packages_known_by_version_are_not_followed(tmp_path):
    assert class_code(nn.Linear) is None
    assert not is_strange(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    assert is_strange(nn.Sequential(net(tmp_path)))
