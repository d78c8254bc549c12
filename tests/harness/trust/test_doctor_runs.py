"""The doctor before a run and as a command."""

import json

import pytest
from patients import CLASSES, Counting, Wrapped, sound
from toys import SmallNet, loaded

from harness.base.threat import parse_grid
from harness.cli import main
from harness.errors import ModelRefused
from harness.inputs.suite import Suite
from harness.run.job import Options, evaluate
from harness.types import AttackSpec


def suite(grid=("4/255",), **params):
    given = {"steps": 5, "step_size": "epsilon/2", "random_start": True, **params}
    return Suite(
        name="toy",
        version=1,
        norm="linf",
        grid=parse_grid(grid),
        mode="observed",
        chunk=32,
        attacks=(AttackSpec("pgd", "torchattacks", "pgd", given),),
    )


def test_a_refused_model_leaves_nothing_behind_and_force_marks_the_row(tmp_path):
    data = sound(40)
    model = loaded(Wrapped(after=lambda y: y.softmax(1)).eval(), CLASSES)
    with pytest.raises(ModelRefused, match=r"refused by P6: logits: the outputs are probabilities.*--force"):
        evaluate(model, suite(), data, Options(tmp_path))
    assert list(tmp_path.iterdir()) == []
    run = evaluate(model, suite(), data, Options(tmp_path, force=True))
    assert run.info.preflight.forced is True
    assert run.summary["grade"] == "D"
    assert ("P6", "refuse") in [(finding["check"], finding["level"]) for finding in run.summary["findings"]]
    with pytest.raises(ModelRefused, match="refused by P6"):  # forced once is not forced for ever
        evaluate(model, suite(), data, Options(tmp_path))


def test_warnings_travel_with_the_row_and_the_doctor_is_asked_once(tmp_path, monkeypatch):
    data = sound(40)
    model = loaded(Wrapped(after=lambda y: y - 100).eval(), CLASSES)
    run = evaluate(model, suite(), data, Options(tmp_path))
    (finding,) = run.info.findings
    assert (finding.check, finding.level) == ("P6", "warn")
    assert finding.figure < 0 == finding.threshold
    assert run.summary["findings"][0] == finding.as_dict()
    assert run.summary["grade"] == "C"
    assert (run.info.preflight.n, run.info.preflight.forced) == (40, False)
    monkeypatch.setattr("harness.run.preflight.examine_model", lambda *_: pytest.fail("asked again"))
    again = evaluate(model, suite(), data, Options(tmp_path))
    assert again.info.findings == run.info.findings
    assert again.info.preflight == run.info.preflight


def test_a_wrong_unit_in_the_suite_stops_the_run(tmp_path):
    with pytest.raises(ModelRefused, match=r"P14: units: step_size 2 .* is above 1"):
        evaluate(loaded(SmallNet(), CLASSES), suite(step_size=2.0), sound(40), Options(tmp_path))


def test_a_buffer_that_moves_during_the_run_is_told(tmp_path):
    class Late(Counting):
        """Sound for the doctor's questions; changes when attacked."""

        def forward(self, images):
            if images.requires_grad and len(images) == 32:
                self.seen += 1
            return self.net(images)

    run = evaluate(loaded(Late().eval(), CLASSES), suite(), sound(80), Options(tmp_path))
    assert [(f["check"], f["level"]) for f in run.summary["findings"]] == [("P4", "error")]
    assert run.summary["grade"] == "D"


# ---------------------------------------------------------------- the command

MODEL = """
import torch
from torch import nn
from harness.inputs.find import find_data

class Means(nn.Module):
    def __init__(self, after):
        super().__init__()
        images, labels = find_data("signs").take(range(1290))
        means = torch.stack([images[labels == label].mean(0).flatten() for label in range(43)])
        self.register_buffer("means", means)
        self.after, self.num_classes = after, 43

    def forward(self, images):
        return self.after(images.flatten(1) @ self.means.T - self.means.square().sum(1) / 2)

def good():
    return Means(lambda y: y), {"num_classes": 43}

def soft():
    return Means(lambda y: y.softmax(1)), {"num_classes": 43}
"""


def test_doctor_and_eval_refuse_with_the_same_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MODEL)
    assert main(["doctor", "--model", "mine.py:good", "--device", "cpu"]) == 0
    assert "passed: P0 forward pass, P1" in capsys.readouterr().out
    assert main(["doctor", "--model", "mine.py:soft", "--device", "cpu"]) == 1
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("refuse: ")]
    assert main(["eval", "--model", "mine.py:soft", "--suite", "fgsm", "--n", "32", "--device", "cpu"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("harness: ")]
    assert told[0].removeprefix("refuse: ") in line
    words = ["--suite", "fgsm", "--n", "32", "--device", "cpu", "--eps", "1/255", "--json"]
    assert main(["eval", "--model", "mine.py:soft", "--force", *words]) == 0
    assert json.loads(capsys.readouterr().out)["grade"] == "D"


def test_doctor_prints_the_envelope(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MODEL)
    assert main(["doctor", "--model", "mine.py:soft", "--device", "cpu", "--json"]) == 1
    value = json.loads(capsys.readouterr().out)
    assert (value["command"], value["ok"]) == ("doctor", False)
    assert value["data"]["checks"]["P6"] is False
    assert value["data"]["checks"]["P1"] is True
    assert {finding["check"] for finding in value["findings"]} >= {"P6"}
