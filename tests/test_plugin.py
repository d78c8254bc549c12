"""A real plugin: built, installed, found, measured, on the leaderboard; then broken in five ways."""

import json
import shutil

import pytest
from overlay import Overlay
from repository import ROOT

DRIVER = """
import contextlib, io, json, sys
from pathlib import Path

from harness.cli import main

def call(*words):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(words))
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}

def measured(*words):
    return call("eval", "--model", "example-means", "--suite", "example", "--n", "64", "--device", "cpu", *words)

told = {
    "list": call("list", "attacks", "--json"),
    "load": call("list", "models", "--load", "--json"),
    "eval": measured("--json"),
    "table": measured(),
    "leaderboard": call("leaderboard"),
    "shades": call("eval", "--model", "example-means", "--data", "example-shades", "--suite", "example"),
}
import plugin_example
path = Path(plugin_example.__file__).with_name("attack.py")
whole = path.read_text()
for name, (old, new) in json.loads(sys.argv[1]).items():
    assert old in whole
    path.write_text(whole.replace(old, new))
    sys.modules.pop("plugin_example.attack", None)
    words = ["--results", name, "--unit-timeout", "60" if name != "hangs" else "1"]
    told[name] = measured(*words) | {"summary": measured("--json", *words)["out"]}
path.write_text(whole)
print("@@" + json.dumps(told))
"""
STEP = "return (images + problem.epsilon * gradient.sign()).clamp(0, 1).detach()"
FAULTS = {
    "import": ("import torch\n", "import torch, no_such_package\n"),
    "raises": (STEP, "raise RuntimeError('no idea')"),
    "shape": (STEP, "return images.detach()[:, :1]"),
    "far": (STEP, "return (images + 3 * problem.epsilon * gradient.sign()).clamp(0, 1).detach()"),
    "hangs": (STEP, "while True: pass"),
}
SAID = {
    "import": "attack 'example.step' of package harness-plugin-example cannot be imported: ModuleNotFoundError",
    "raises": "example/fgsm (package harness-plugin-example): failed at epsilon 2/255: RuntimeError: no idea",
    "shape": "example/fgsm (package harness-plugin-example): failed at epsilon 2/255: returned",
    "far": "example/fgsm (package harness-plugin-example): failed at epsilon 2/255: left the ball for",
    "hangs": "example/fgsm (package harness-plugin-example): at epsilon 2/255: given up after the 1 s",
}


@pytest.fixture(scope="module")
def overlay(tmp_path_factory):
    return Overlay.create(tmp_path_factory.mktemp("overlay"))


@pytest.fixture(scope="module")
def told(overlay, tmp_path_factory):
    work = tmp_path_factory.mktemp("work")
    shutil.copytree(ROOT / "tests" / "plugin_example", work / "plugin")
    overlay.install(work / "plugin", cwd=work)
    done = overlay.run("-c", DRIVER, json.dumps(FAULTS), cwd=work)
    return json.loads(done.stdout.rpartition("@@")[2])


def cells(text, attack):
    return [cell for cell in json.loads(text)["cells"] if cell["attack"] == attack]


def test_it_is_found_without_being_imported(told):
    rows = json.loads(told["list"]["out"])["data"]
    (mine,) = [row for row in rows if row["name"] == "example.step"]
    assert (mine["package"], mine["version"]) == ("harness-plugin-example", "1.2.3")
    assert mine["details"]["kind"] == "budget"
    assert any(row["name"] == "example-means" for row in json.loads(told["load"]["out"])["data"])


def test_it_is_measured_and_agrees_with_the_tool(told):
    assert told["eval"]["code"] == 0
    mine, tool = cells(told["eval"]["out"], "example/fgsm"), cells(told["eval"]["out"], "fgsm")
    assert [cell["broken"] for cell in mine] == [cell["broken"] for cell in tool]
    assert mine[-1]["broken"] > 0
    assert mine[0]["tool_version"] == "1.2.3"


def test_it_is_on_the_leaderboard(told):
    assert told["leaderboard"]["code"] == 0
    assert "| example-means |" in told["leaderboard"]["out"]
    assert "example/fgsm 8/255" in told["leaderboard"]["out"]


def test_its_data_set_is_of_another_shape_and_says_so(told):
    assert told["shades"]["code"] == 2
    assert "takes images (3, 32, 32), data set 'example-shades' has (1, 12, 12)" in told["shades"]["err"]


@pytest.mark.parametrize("name", FAULTS)
def test_broken_it_loses_its_own_cells_and_says_whose_they_are(told, name):
    assert told[name]["code"] == 3
    assert SAID[name] in told[name]["out"].replace("\n", " ")
    assert "Traceback" not in told[name]["out"] + told[name]["err"]
    assert {cell["status"] for cell in cells(told[name]["summary"], "example/fgsm")} <= {"missing", "partial"}
    good = [(cell["status"], cell["broken"]) for cell in cells(told[name]["summary"], "fgsm")]
    assert good == [(cell["status"], cell["broken"]) for cell in cells(told["eval"]["out"], "fgsm")]


def test_its_own_tests_pass(overlay, told, tmp_path):
    overlay.run("-m", "pytest", "-q", "-p", "no:cacheprovider", str(ROOT / "tests/plugin_example/tests"), cwd=tmp_path)
