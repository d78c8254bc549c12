"""The documents on tools and suites say what is so."""

import re
from pathlib import Path

import pytest
from repository import ROOT

from adapters.describe import METHODS
from harness.inputs.suite_file import read_suite
from harness.types import AttackSpec

HERE = Path(__file__).parent


def names_in(path):
    return set(re.findall(r"def (test_\w+)\(", path.read_text(encoding="utf-8")))


def test_the_table_of_faults_names_tests_that_exist_and_all_of_them():
    text = (ROOT / "docs" / "tools.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    there = set().union(*(names_in(path) for path in HERE.rglob("test_*.py")))
    assert named <= there
    faults = set().union(*(names_in(path) for path in HERE.glob("known_faults/test_*.py")))
    assert faults
    assert faults <= named


def blocks(name):
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    return re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)


def test_the_example_suites_are_suites(tmp_path):
    whole, *others = blocks("suites.md")
    texts = [whole, *(part if part.startswith("name") else whole + part for part in others)]
    assert len(texts) > 2
    for text in texts:
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        suite = read_suite(path)
        for spec in suite.attacks:
            assert suite.threat in METHODS[f"{spec.tool}.{spec.method}"](spec, suite.norm).threats


def test_the_built_in_suites_are_in_the_table():
    text = (ROOT / "docs" / "suites.md").read_text(encoding="utf-8")
    table = text.partition("## Built-in suites")[2]
    for name in ("fgsm", "pgd", "autoattack", "standard", "crosstool", "blackbox", "l2", "l1", "l0", "patch"):
        assert f"| `{name}` |" in table


@pytest.mark.parametrize("text", ["epsilon/4", "2*epsilon", "2.5*epsilon/20"])
def test_the_multiples_of_epsilon_in_the_text_are_read(text):
    assert f'"{text}"' in (ROOT / "docs" / "suites.md").read_text(encoding="utf-8")
    params = {"steps": 1, "step_size": text, "random_start": False}
    attack = METHODS["torchattacks.pgd"](AttackSpec("a", "torchattacks", "pgd", params), "linf")
    wanted = {"epsilon/4": 0.25, "2*epsilon": 2, "2.5*epsilon/20": 0.125}[text] * 0.1
    assert attack.parameters(0.1)["step_size"] == pytest.approx(wanted)
