"""How to get what is not installed, in one line that is right here."""

import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

import harness.attack
from adapters.torchattacks import FGSM
from harness.base import installing
from harness.errors import MissingPackage
from harness.types import AttackSpec
from leaderboard.figures.plots import Panel, draw
from model_zoo.defenses.contrastive.loss import contrastive_loss

BOTH = (
    "run: pip install 'robustness-harness[torchattacks]' (beside a newer requests: pip install --no-deps torchattacks)"
)


def absent(name):
    raise PackageNotFoundError(name)


def test_an_attack_without_its_tool_says_both_ways(monkeypatch):
    monkeypatch.setattr(harness.attack, "version", absent)
    with pytest.raises(MissingPackage) as told:
        FGSM(AttackSpec("fgsm", "torchattacks", "fgsm"), "linf").tool_version()
    assert str(told.value) == f"torchattacks is not installed; {BOTH}"


@pytest.mark.parametrize(
    ("requests", "command"),
    [
        (None, "pip install 'robustness-harness[torchattacks]'"),
        ("2.25.0", "pip install --no-deps torchattacks"),
        ("2.25.1", "pip install 'robustness-harness[torchattacks]'"),
        ("2.26.0", "pip install --no-deps torchattacks"),
        ("2.34.2", "pip install --no-deps torchattacks"),
    ],
)
def test_the_command_that_is_right_here_depends_on_requests(monkeypatch, requests, command):
    monkeypatch.setattr(installing, "version", lambda name: requests or absent(name))
    assert installing.advice_here("torchattacks") == command
    assert installing.advice_here("pyautoattack") == "pip install pyautoattack"


@pytest.mark.parametrize(
    ("module", "extra", "call"),
    [
        ("matplotlib", "figures", lambda: draw([Panel(title="x", xlabel="epsilon", curves=())], Path("x.png"))),
        ("pytorch_metric_learning", "contrastive", lambda: contrastive_loss(True, 0.1)),
    ],
)
def test_what_an_extra_brings_is_asked_for_in_one_line(monkeypatch, module, extra, call):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPackage, match=rf"is not installed; run: pip install 'robustness-harness\[{extra}\]'$"):
        call()
