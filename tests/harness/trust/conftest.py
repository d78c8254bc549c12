"""A measured run in a folder of its own, for the tests of ``harness verify``'s command line and of its ledger."""

import shutil

import pytest

from harness.cli import main

MODEL = """
import torch
from torch import nn

def tiny():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 43)), {"num_classes": 43}

def other():
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 43)), {"num_classes": 43}
"""


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A folder with a model file and, in ``results``, one run of it."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "mine.py").write_text(MODEL)
    words = ["--model", f"{folder}/mine.py:tiny", "--suite", "fgsm", "--n", "256", "--device", "cpu", "--force"]
    assert main(["eval", *words, "--results", str(folder / "results")]) == 0
    return folder


@pytest.fixture
def work(evaluated, tmp_path, monkeypatch):
    folder = shutil.copytree(evaluated, tmp_path / "work")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HARNESS_LEDGER", str(tmp_path / "ledger.jsonl"))
    return folder
