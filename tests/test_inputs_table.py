"""Every row of docs/inputs.md happens as it says."""

import re
import shlex
import sys

import pytest
from belongings import MAKE, make
from repository import ROOT

from harness.cli import main

ROW = re.compile(
    r"^\| (?P<have>[^|]+) \| `(?P<typed>[^`]+)` \| (?P<verb>measured|refused|cells missing)(?P<told>.*) \|$"
)
USUAL = {"--model": "net.py:net", "--data": "images.npz", "--suite": "fgsm"}
CODES = {"measured": 0, "refused": 2, "cells missing": 3}
ABSENT = ("onnx2torch", "robustbench", "transformers", "datasets")
"""Packages that rows say are not there."""

LINES = [line for line in (ROOT / "docs" / "inputs.md").read_text(encoding="utf-8").splitlines() if "| `" in line]
ROWS = [match for match in map(ROW.fullmatch, LINES) if match]


def command(typed):
    """The whole command line of a row."""
    words = shlex.split(typed)
    return ["eval", *words, *(word for pair in USUAL.items() if pair[0] not in words for word in pair)]


def test_every_row_is_read():
    assert len(ROWS) == len(LINES) >= 25
    used = {part for row in ROWS for word in command(row["typed"]) for part in re.split("[?&=:,]", word)}
    assert set(MAKE) <= used, "made and not used"


@pytest.mark.torchattacks
@pytest.mark.parametrize("row", ROWS, ids=[row["typed"] for row in ROWS])
def test_a_row(row, tmp_path, monkeypatch, capsys):
    pytest.importorskip("torchattacks")
    monkeypatch.chdir(tmp_path)
    for package in ABSENT:
        monkeypatch.setitem(sys.modules, package, None)
    words = command(row["typed"])
    make(words, tmp_path)
    assert main([*words, "--device", "cpu"]) == CODES[row["verb"]]
    shown = capsys.readouterr()
    if row["verb"] == "refused":
        assert shown.out == ""
        text = shown.err.splitlines()[-1]
        assert text.startswith("harness: ")
        assert not list(tmp_path.glob("results/*/*"))
    else:
        text = " ".join((shown.err + shown.out).split())
        assert "clean accuracy" in text
    (*_, told) = re.findall(r"`([^`]+)`", row["told"])
    for part in told.split(" ... "):
        assert part in text
