"""The examples run, cell by cell and line by line."""

import ast
import json
import runpy
import sys

import pytest
from repository import ROOT

EXAMPLES = ROOT / "examples"


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "words", "says"),
    [
        ("your_model", [], "breaks verified"),
        ("your_attack", [], "budget: left the ball"),
        ("compare_models", ["32"], "trades"),
    ],
)
def test_a_script_runs(name, words, says, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *words])
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    assert says in capsys.readouterr().out


def test_every_script_and_notebook_is_run():
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} == {
        "compare_models.py", "evaluate.ipynb", "your_attack.py", "your_model.py",
    }  # fmt: skip


def test_the_notebook_runs():
    pytest.importorskip("pandas")
    pytest.importorskip("matplotlib")
    notebook = json.loads((EXAMPLES / "evaluate.ipynb").read_text(encoding="utf-8"))
    space = {}
    shown = [run(cell, space) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert "<table>" in shown[0]._repr_html_()
    assert shown[-1] == "breaks verified"
    assert not any(cell.get("outputs") for cell in notebook["cells"]), "clear the outputs before committing"


def run(cell, space):
    """Execute a cell; the value of its last expression, as a notebook shows it."""
    tree = ast.parse("".join(cell["source"]))
    last = ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), space)
    return None if last is None else eval(compile(last, "cell", "eval"), space)
