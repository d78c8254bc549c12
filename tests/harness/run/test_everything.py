"""`harness.evaluate` takes what `harness eval` takes, and both hand the same question to the core."""

import inspect
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

import harness
import harness.cli.eval
import harness.run.adaptive
import harness.run.api
import harness.run.job
from harness.cli import main
from harness.cli.eval import evaluate_models
from harness.errors import BadEpsilon, UnknownName, UsageError
from harness.run.options import Options
from harness.types import Scale

ONLY_TYPED = {"context", "faithful", "worst_case_only", "bisect", "as_json"}
"""Where the command began, short forms of `mode`, and how to print."""
ONLY_PYTHON = {"data_name", "progress"}
"""A name for what has none, and how to show."""

ASKED = {
    "n": 3, "seed": 5, "device": "cpu", "batch_size": 2, "witnesses": "worst", "fresh": True, "force": True,
    "executor": "ray", "workers": 2, "gpus_per_worker": 0.5, "ray_address": "auto", "precision": "float32",
    "compile": "on", "budget": "1h30m", "unit_timeout": 9.0, "transfer": "others", "results": "here",
    "mode": "bisection", "eps": "2/255,0.05", "name": " mine ", "until": 1.5, "draws": 30,
    "rule": "mean", "adapt": "fgsm=margin",
}  # fmt: skip
"""No value is the default."""


class Caught(harness.errors.HarnessError):
    """Instead of measuring."""


@pytest.fixture
def caught(monkeypatch):
    """What the core is asked: model's name, suite, data's name and options."""
    asked = []

    def catch(model, suite, data, options, report):
        asked.append((model.name, suite, data.name, options))
        raise Caught("caught")

    monkeypatch.setattr(harness.run.api, "run", catch)
    monkeypatch.setattr(harness.run.adaptive, "evaluate", catch)
    return asked


def test_python_has_every_parameter_of_the_command_line():
    typed = {name.rstrip("_") for name in inspect.signature(evaluate_models).parameters}
    python = set(inspect.signature(harness.evaluate).parameters)
    assert typed - ONLY_TYPED == python - ONLY_PYTHON


def test_all_of_them_reach_the_core_alike(caught, tmp_path):
    (ids := tmp_path / "ids.txt").write_text("5\n3\n")
    words = ["eval", "--model", "trades", "--suite", "fgsm", "--data", "signs", "--data-root", str(tmp_path)]
    words += ["--ids", str(ids)]
    for name, value in ASKED.items():
        words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    assert main(words) == 2
    with pytest.raises(Caught):
        harness.evaluate("trades", "fgsm", "signs", data_root=tmp_path, ids=ids, **ASKED)
    typed, python = caught
    assert typed == python
    name, suite, data, options = python
    assert (name, data, suite.mode) == ("mine", "signs", "bisection")
    assert [epsilon.label for epsilon in suite.grid] == ["2/255", "0.05"]
    assert options.scale == Scale(2, 0.5, "auto")
    assert options.budget == 5400
    assert options.transfer == (Path("others"),)
    for field in fields(Options):
        default = field.default if field.default_factory is MISSING else field.default_factory()
        assert getattr(options, field.name) != default, f"{field.name} cannot be set"


def test_defaults_are_the_same(caught):
    assert main(["eval", "--model", "trades", "--suite", "fgsm"]) == 2
    with pytest.raises(Caught):
        harness.evaluate("trades", "fgsm")
    typed, python = caught
    assert typed == python


@pytest.mark.parametrize(
    ("eps", "values"),
    [
        (0.5, [0.5]),
        (1, [1.0]),
        ("4/255", [4 / 255]),
        ([8 / 255, "2/255"], [2 / 255, 8 / 255]),
        ("1/2, 1/4", [0.25, 0.5]),
    ],
)
def test_epsilons_are_text_a_number_or_several(caught, eps, values):
    with pytest.raises(Caught):
        harness.evaluate("trades", "fgsm", eps=eps)
    assert [epsilon.value for epsilon in caught[0][1].grid] == values


def test_paths_are_data_and_models(caught, tmp_path, monkeypatch):
    import numpy as np

    np.savez(tmp_path / "few.npz", images=np.zeros((4, 8, 8, 3), np.uint8), labels=np.arange(4))
    (tmp_path / "net.py").write_text(
        "from torch import nn\ndef small():\n    return nn.Sequential(nn.Flatten(), nn.Linear(192, 4))\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Caught):
        harness.evaluate(Path("net.py:small"), "fgsm", tmp_path / "few.npz")
    assert caught[0][2] == "arrays-few-test"
    assert (caught[0][3].given.model, caught[0][3].given.data) == ("net.py:small", str(tmp_path / "few.npz"))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"budget": "soon"}, UsageError, "budget 'soon' is no duration; write for instance 90s"),
        ({"data_root": "nowhere"}, UsageError, "data root 'nowhere' is not a folder"),
        (
            {"data": [], "data_root": "x"},
            UsageError,
            "data_root 'x' is for data sets by name; the data given is a list",
        ),
        ({"suite": "corruptions", "draws": 30}, UsageError, "--draws is for suites that attack"),
        (
            {"suite": "corruptions", "adapt": "margin"},
            UsageError,
            "nothing is differentiated in a suite of corruptions",
        ),
        ({"suite": "corruptions", "adapt": "auto"}, UsageError, "--adapt auto: nothing is differentiated"),
        (
            {"suite": "patch", "adapt": "auto"},
            UsageError,
            "of a suite of patch adapt its own attacks",
        ),
        ({"name": "a\nb"}, UsageError, "is no name; give one line of printable characters"),
        ({"eps": "8"}, BadEpsilon, "8"),
        ({"executor": "raye"}, UnknownName, "unknown executor 'raye'"),
        ({"model": "tradse"}, UnknownName, "did you mean 'trades'"),
    ],
)
def test_what_cannot_be_meant_is_one_line(options, error, message, tmp_path):
    with pytest.raises(error) as raised:
        harness.evaluate(**{"model": "trades", "suite": "fgsm", "results": tmp_path} | options)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_dir_shows_what_a_person_wants():
    assert dir(harness) == [
        "Result", "__version__", "attack", "errors", "evaluate", "find_data", "find_model", "testing", "types"
    ]  # fmt: skip
    assert all(getattr(harness, name) is not None for name in dir(harness))
