"""``action.yml``: its steps run as GitHub would run them, with a harness and a gh that write down what is asked."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import typer
import yaml
from action import ACTION, STEPS, Job
from repository import ROOT

from harness.cli import build

RECORD = """#!{python}
import json, os, sys
with open({log!r}, "a", encoding="utf-8") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
told = json.loads(os.environ.get("TOLD", "{{}}")).get(sys.argv[1], [0, ""])
if sys.argv[1] == "leaderboard" and "--output" in sys.argv:
    told = [told[0], ""]
print(told[1])
sys.exit(told[0])
"""
REAL = """#!{python}
import sys
from harness.cli import main
sys.exit(main(sys.argv[1:]))
"""
EVAL = json.dumps({"run": "results/m-pgd-0"})

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")


@pytest.fixture
def job(tmp_path):
    told = {"eval": (0, EVAL), "gate": (0, "pass  m  clean>=0.9"), "leaderboard": (0, "| model |")}
    found = Job(tmp_path, told)
    for name in ("harness", "gh"):
        found.program(name, RECORD)
    return found


FULL = {
    "model": "model.py:build", "suite": "pgd", "data": "folder:pets here", "data-root": "data", "n": "200",
    "eps": "1/255,2/255", "mode": "worst-case", "attack-n": "autoattack=200\n  square = 0.1 \n", "until": "2.5",
    "budget": "30m", "name": "our model", "results": "kept results", "replay": "5",
    "require": "clean>=0.9\n\n  pgd-20@4/255>=0.5\nno-regression:base line\n", "allow": "P7\n P8 ", "confident": "true",
    "title": "Release 7", "install": "none",
}  # fmt: skip


def test_every_input_reaches_an_option_that_the_command_line_has(job) -> None:
    assert set(FULL) | {"comment", "token"} == set(ACTION["inputs"])
    assert job.run(FULL)
    program = typer.main.get_command(build())
    asked = job.asked("harness")
    assert [words[0] for words in asked] == ["eval", "verify", "gate", "gate", "leaderboard", "leaderboard"]
    read = []
    for name, *words in asked:
        context = program.commands[name].make_context(name, list(words))  # refuses what the command line would
        read.append(context.params)
    evaluated, verified, judged, _, page, table = read
    assert evaluated["model"] == ["model.py:build"]
    assert (evaluated["suite"], evaluated["data"], evaluated["n"]) == ("pgd", "folder:pets here", 200)
    assert (evaluated["data_root"], evaluated["results"]) == (Path("data"), Path("kept results"))
    assert (evaluated["mode"], evaluated["until"]) == ("worst-case", 2.5)
    assert evaluated["attack_n"] == ["autoattack=200", "square=0.1"]
    assert (evaluated["eps"], evaluated["budget"], evaluated["name"]) == ("1/255,2/255", "30m", "our model")
    assert [str(run) for run in verified["runs"]] == ["results/m-pgd-0"]
    assert (verified["replay"], verified["data_root"]) == (5, Path("data"))
    assert "model.py:build" in str(verified["model"])
    assert judged["require"] == ["clean>=0.9", "  pgd-20@4/255>=0.5", "no-regression:base line"]
    assert (judged["allow"], judged["confident"]) == (["P7", "P8"], True)
    assert judged["results"] == page["results"] == table["results"] == [Path("kept results")]
    assert page["title"] == "Release 7"
    assert page["verdict"] == job.folder / "robustness" / "gate.json"


def test_what_is_not_given_is_not_passed_on(job) -> None:
    assert job.run({"model": "standard", "require": "clean>=0.9", "install": "none", "replay": "0"})
    evaluated, verified, judged, *_ = job.asked("harness")
    assert evaluated[1:] == [
        "--model", "standard", "--suite", "pgd", "--data", "signs", "--results", "results", "--json",
    ]  # fmt: skip
    assert "--replay" not in verified
    assert judged == ["gate", "results", "--require", "clean>=0.9"]


def test_inputs_never_stand_in_a_script(job) -> None:
    """An input in the text of a script would be run; in the environment it is text."""
    assert not [step["name"] for step in STEPS if "${{" in step["run"]]
    evil = '$(touch owned); `touch owned` "; touch owned #'
    job.run({**FULL, "model": evil, "require": evil, "title": evil, "name": evil})
    assert not (job.folder / "owned").exists()
    assert ["--model", evil] == job.asked("harness")[0][1:3]


@pytest.mark.parametrize(
    ("told", "passed", "words"),
    [
        ({}, True, "passed."),
        ({"gate": (1, "FAIL  m  clean>=0.9")}, False, "failed."),
        ({"verify": (1, "")}, False, "Verification of the run failed"),
        ({"eval": (3, EVAL)}, True, "passed."),
    ],
)
def test_the_verdict_is_that_of_gate_and_verify(job, told, passed: bool, words: str) -> None:
    job.told = {**job.told, **told}
    assert job.run({**FULL, "install": "none"}) is passed
    assert job.outputs["verdict"] == {"passed": str(passed).lower()}
    comment = (job.folder / "robustness" / "comment.md").read_text()
    assert words in comment
    assert "| model |" in comment
    assert (job.folder / "summary.md").read_text() == comment


@pytest.mark.parametrize("told", [{"eval": (2, "")}, {"gate": (2, "")}])
def test_bad_input_ends_the_job_at_once(job, told) -> None:
    job.told = {**job.told, **told}
    assert not job.run(FULL)
    assert list(job.codes.values())[-1] == 2
    assert not job.asked("gh")


def test_a_confidence_that_is_neither_true_nor_false_ends_the_job(job) -> None:
    """Taken for false, it would judge by less than was asked for."""
    assert not job.run({**FULL, "confident": "yes"})
    assert job.codes["Judge"] == 2
    assert "gate" not in [words[0] for words in job.asked("harness")]


def test_the_comment_is_written_once_and_then_replaced(job) -> None:
    assert job.run(FULL)
    look, write = job.asked("gh")
    assert look[:3] == ["api", "--paginate", "repos/o/r/issues/7/comments"]
    assert write[:4] == ["api", "--method", "POST", "repos/o/r/issues/7/comments"]
    assert write[5] == f"body=@{job.folder / 'robustness' / 'short.md'}"
    job.told = {**job.told, "api": (0, "4711\n4712")}
    assert job.run(FULL)
    assert job.asked("gh")[-1][2:4] == ["PATCH", "repos/o/r/issues/comments/4711"]


def test_a_comment_that_cannot_be_written_fails_nothing(job) -> None:
    job.told = {**job.told, "api": (1, "")}
    assert job.run(FULL)
    assert len(job.asked("gh")) == 1
    assert job.outputs["verdict"]["passed"] == "true"


def test_a_long_comment_is_cut_at_a_line(job) -> None:
    job.told = {**job.told, "leaderboard": (0, "| 34567890 |\n" * 6000)}
    assert job.run(FULL)
    short = (job.folder / "robustness" / "short.md").read_text()
    assert 59_000 < len(short) < 60_100
    assert short.endswith("| 34567890 |\n\nCut here; the summary of the job has all of it.\n")


def test_there_is_no_comment_without_a_pull_request_or_a_wish(job) -> None:
    job.event = "push"
    assert job.run(FULL)
    job.event = "pull_request"
    assert job.run({**FULL, "comment": "false"})
    assert not job.asked("gh")


def test_the_documentation_names_every_input() -> None:
    text = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    assert [name for name in [*ACTION["inputs"], *ACTION["outputs"]] if f"`{name}`" not in text] == []
    for workflow in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        for step in next(iter(yaml.safe_load(workflow)["jobs"].values()))["steps"]:
            if "robustness-harness" in step.get("uses", ""):
                assert set(step["with"]) <= set(ACTION["inputs"])
                assert {name for name, content in ACTION["inputs"].items() if content.get("required")} <= set(
                    step["with"]
                )


@pytest.mark.slow
def test_the_steps_measure_verify_and_judge_a_real_model(tmp_path) -> None:
    job = Job(tmp_path, {})
    job.program("harness", REAL)
    job.program("gh", RECORD)
    (tmp_path / "model.py").write_text(MODEL)
    inputs = {"model": "model.py:build", "suite": "fgsm", "n": "40", "eps": "1/255", "replay": "2", "install": "none"}
    asked = {"require": "clean>=0.01\nfgsm@1/255>=0.99", "title": "Nearest means", "name": "means"}
    assert not job.run(inputs | asked)
    assert job.codes == {**dict.fromkeys(job.codes, 0), "Verdict": 1}, job.said
    assert job.outputs["verify"]["code"] == "0"
    report = Path(job.outputs["eval"]["report"])
    verdicts = json.loads((report / "gate.json").read_text())["data"]["verdicts"]
    assert [(v["requirement"], v["passed"]) for v in verdicts][-2:] == [
        ("clean>=0.01", True),
        ("fgsm@1/255>=0.99", False),
    ]
    assert "<h1>Nearest means</h1>" in (report / "leaderboard.html").read_text(encoding="utf-8")
    comment = (report / "comment.md").read_text(encoding="utf-8")
    assert "**Robustness gate: failed.**" in comment
    assert "FAIL  means  fgsm@1/255>=0.99" in comment
    assert "| means |" in comment
    assert (report / "gate.xml").read_text().count("<failure") == sum(not v["passed"] for v in verdicts)


MODEL = '''
import torch
from torch import nn

def build():
    """The nearest class mean."""
    from harness.inputs.find import find_data

    data = find_data("signs")
    images, labels = data.take(range(len(data)))
    means = torch.stack([images[labels == label].mean(0).flatten() for label in range(43)])
    linear = nn.Linear(3 * 32 * 32, 43)
    with torch.no_grad():
        linear.weight.copy_(means)
        linear.bias.copy_(-means.square().sum(1) / 2)
    model = nn.Sequential(nn.Flatten(), linear)
    model.num_classes = 43
    return model
'''
