"""Whole commands under a locale that lacks most letters: nothing is lost, and every exit code is the usual one."""

import os
import subprocess
import sys

import pytest
from belongings import make

NAME = "Ж≥ü"


@pytest.fixture
def command(tmp_path):
    """Runs a command in a folder of its own; its exit code, and what it wrote to stdout and stderr, as bytes."""

    def run(encoding, *words):
        environment = os.environ | {"PYTHONIOENCODING": encoding, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "harness", *words],
            cwd=tmp_path, env=environment, capture_output=True, check=False, timeout=240,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.mark.torchattacks
def test_results_under_latin_1(command, tmp_path):
    pytest.importorskip("torchattacks")
    make(["net.py", "images.npz"], tmp_path)
    words = ["--model", "net.py:net", "--data", "images.npz", "--suite", "fgsm", "--n", "8", "--device", "cpu"]
    code, out, err = command("latin-1", "eval", *words, "--name", NAME)
    assert code == 0, err
    assert r"\u0416>=ü on arrays-images-test, n=8: clean accuracy 100.0" in out.decode("latin-1")
    (summary,) = tmp_path.glob("results/*/summary.json")
    assert '"grade": "C"' in summary.read_text(encoding="utf-8")

    code, out, err = command("latin-1", "leaderboard", "results")
    assert code == 0, err
    assert r"| 1 | \u0416>=ü |" in out.decode("latin-1")

    code, out, err = command("latin-1", "leaderboard", "results", "--format", "html")
    assert code == 0, err
    page = out.decode("utf-8")
    assert '<meta charset="utf-8">' in page
    assert NAME in page
