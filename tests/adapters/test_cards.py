"""Listing attacks needs no tool: names, static cards and classes say the same."""

import subprocess
import sys
import tomllib
from importlib.metadata import entry_points

import pytest

from adapters.describe import CARDS, METHODS, as_toml, describe
from harness.inputs.registry import Registry


@pytest.mark.parametrize("name", METHODS)
def test_the_card_is_what_the_class_says(name):
    path = CARDS / f"{name}.toml"
    assert path.read_text(encoding="utf-8") == as_toml(describe(name)), "run: python -m adapters.describe"
    details = tomllib.loads(path.read_text(encoding="utf-8"))
    assert details == describe(name)
    assert details["summary"].endswith(".")
    assert set(details["parameters"]) == set(METHODS[name].strength)


def test_there_is_no_card_without_a_class():
    assert {path.stem for path in CARDS.glob("*.toml")} == set(METHODS)


def test_every_attack_is_registered_under_its_name():
    """And nothing else is registered for the three tools."""
    points = {point.name: point.value for point in entry_points(group="harness.attacks")}
    ours = {name: f"{kind.__module__.rpartition('.')[0]}:{kind.__name__}" for name, kind in METHODS.items()}
    assert {name: value for name, value in points.items() if value.startswith("adapters.")} == ours
    assert Registry("attacks").get("torchattacks.pgd").details("cards/attacks")["method"] == "pgd"


def test_importing_the_adapters_imports_no_tool():
    code = (
        "import sys, adapters.describe; "
        "heavy = {'torch', 'numpy', 'torchattacks', 'art', 'pyautoattack', 'autoattack'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
