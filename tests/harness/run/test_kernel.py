"""In a real kernel: the notebook of the examples, and the stop button while a cell runs."""

import warnings
from importlib.util import find_spec

import pytest
from repository import ROOT

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # a cell may take 240 s, and there are several

SLOW = """
import os, signal, threading, time
from dataclasses import replace
from pathlib import Path

import harness
from harness.inputs.suite_file import load_suite
from harness.types import AttackSpec

steps = {"steps": 40, "eot": 1, "restarts": 1}
spec = AttackSpec("apgd", "autoattack", "apgd-ce", steps)
suite = replace(load_suite("fgsm"), attacks=(spec,), chunk=16, name="slow")
"""
PRESS = """
def press():  # what the stop button does
    while not list(Path("results").glob("*/facts/apgd@*")):
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=press, daemon=True).start()
result = harness.evaluate("trades", suite, "signs", n=32)
"""
AGAIN = """
result = harness.evaluate("trades", suite, "signs", n=32)
result
"""


def execute(notebook, folder):
    """Run all cells in a kernel that works in `folder`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client's, about itself and its event loop
        where = {"metadata": {"path": str(folder)}}
        nbclient.NotebookClient(notebook, timeout=240, kernel_name="python3", resources=where).execute()
    return notebook


def shown(cell, kind="text/plain"):
    """All that a cell displays in one form."""
    return "\n".join(output.data[kind] for output in cell.outputs if kind in output.get("data", {}))


def test_the_example(tmp_path):
    pytest.importorskip("pandas")
    pytest.importorskip("matplotlib")
    notebook = execute(nbformat.read(ROOT / "examples" / "evaluate.ipynb", as_version=4), tmp_path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if find_spec("ipywidgets") is None:  # else progress is drawn in place
        assert "units after" in shown(code[0])
    html = shown(code[0], "text/html")
    assert "<td>96.9 [" in html
    assert "<svg role=" in html
    assert shown(code[3], "image/png")
    assert shown(code[4]) == "'breaks verified'"


def test_the_stop_button(tmp_path):
    cells = [nbformat.v4.new_code_cell(text) for text in (SLOW, PRESS, AGAIN)]
    cells[1].metadata["tags"] = ["raises-exception"]
    notebook = execute(nbformat.v4.new_notebook(cells=cells), tmp_path)
    (error,) = (output for output in notebook.cells[1].outputs if output.output_type == "error")
    assert error.ename == "KeyboardInterrupt"
    assert error.evalue == "interrupted; what was finished is on disk, the same call goes on from there"
    assert "finishing what is running, then stopping" in shown(notebook.cells[1])
    assert "trades under slow@1 on signs, n=32" in shown(notebook.cells[1])
    assert "read from disk" in shown(notebook.cells[2])
    assert "Result(model='trades'" in shown(notebook.cells[2])
