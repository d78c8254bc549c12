"""What starts leave to each other: findings and counts, provenance, and units that ran out of time."""

from __future__ import annotations

import json
import time
import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch
from toys import SmallNet, StopAfter, labeled, loaded, scripted

from harness.attack import ToolWarning
from harness.base.threat import parse_grid
from harness.evidence import earlier
from harness.inputs.suite import Suite
from harness.run import manifest
from harness.run.job import Options, Run, evaluate
from harness.types import AttackSpec

MODEL = SmallNet()
TOY = labeled(MODEL, 24, wrong=2)
SPECS = (AttackSpec("scripted", "test", "scripted", {}), AttackSpec("other", "test", "scripted", {}))
SUITE = Suite(
    name="toy",
    version=1,
    norm="linf",
    grid=parse_grid(["2/255", "8/255"], "linf"),
    mode="observed",
    chunk=24,
    attacks=SPECS,
)


def still(model, problem):
    model(problem.images)
    return problem.images


def pushed(model, problem):
    """Every pixel by epsilon, in the direction of the gradient's sign."""
    images = problem.images.requires_grad_()
    loss = torch.nn.functional.cross_entropy(model(images), problem.labels)
    (gradient,) = torch.autograd.grad(loss, images)
    return (images + problem.epsilon * gradient.sign()).clamp(0, 1).detach()


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts the run of two attacks, each a function."""

    def go(first=still, second=still, reporter=None, model=MODEL, suite=SUITE, **options: Any) -> Run:
        monkeypatch.setattr(Suite, "resolve", lambda suite: (scripted(first), scripted(second)))
        chosen = Options(tmp_path, device="cpu", batch_size=12, precision="exact", **options)
        return evaluate(loaded(model, 5), suite, TOY, chosen, reporter)

    return go


def findings(run, check):
    return [finding for finding in run.info.findings if finding.check == check]


def test_findings_and_counts_outlive_a_killed_process(start):
    def loud(model, problem):
        warnings.warn("gradients were all zero", ToolWarning, stacklevel=1)
        return still(model, problem)

    stopped = start(loud, reporter=StopAfter(2))
    assert findings(stopped, "tool")
    path = stopped.folder / "run.json"
    info = json.loads(path.read_text()) | {"findings": [], "status": "running"}  # as it was written at the start
    path.write_text(json.dumps(info))
    again = start(loud)
    assert again.info.status == "complete"
    assert findings(again, "tool") == findings(stopped, "tool")


def test_a_worst_case_needs_the_attacks_that_have_not_begun(start):
    stopped = start(still, pushed, StopAfter(3))
    assert [(cell["attack"], cell["status"]) for cell in stopped.summary["cells"]] == [("scripted", "ok")] * 2
    assert {row["robust_accuracy"] for row in stopped.summary["worst_case"]} == {None}
    whole = start(still, pushed)
    assert None not in {row["robust_accuracy"] for row in whole.summary["worst_case"]}


def test_units_out_of_time_are_tried_again_by_who_waits_longer(start):
    def slow(model, problem):
        time.sleep(0.4)
        return pushed(model, problem)

    hasty = start(slow, unit_timeout=0.05)
    assert not hasty.complete
    assert findings(hasty, "timeout")
    assert not start(slow, unit_timeout=0.04).complete  # no more patient: nothing is tried again
    patient = start(slow)
    assert patient.complete
    assert not findings(patient, "timeout")
    assert [cell["broken"] for cell in patient.summary["cells"] if cell["attack"] == "scripted"] != [0, 0]


def test_units_out_of_time_are_not_handed_to_other_runs(start):
    def slow(model, problem):
        time.sleep(0.4)
        return still(model, problem)

    assert not start(slow, unit_timeout=0.05).complete
    patient = start(slow, suite=replace(SUITE, name="other"))
    assert patient.complete
    assert patient.info.reused == 2  # the attack that was not slow


def test_a_run_keeps_what_it_was_measured_with(start, monkeypatch):
    first = start()
    versions = manifest.versions
    monkeypatch.setattr(manifest, "versions", lambda: {**versions(), "torch": "99.0"})
    monkeypatch.setattr(manifest, "device_name", lambda device: "another machine")
    again = start()  # nothing is left to compute
    for name in ("versions", "device", "git"):
        assert getattr(again.info, name) == getattr(first.info, name)
    assert not findings(again, "hardware")


def test_a_run_of_two_machines_says_so(start, monkeypatch):
    first = start(reporter=StopAfter(3))
    versions = manifest.versions
    monkeypatch.setattr(manifest, "versions", lambda: {**versions(), "torch": "99.0"})
    monkeypatch.setattr(manifest, "device_name", lambda device: "another machine")
    (found,) = findings(start(), "hardware")
    assert f"torch {first.info.versions['torch']} and 99.0" in found.message
    assert f"{first.info.device.name} and another machine" in found.message
    assert found.level == "warn"


def test_a_mended_backward_pass_is_measured_again(start):
    class Masked(SmallNet):
        def forward(self, images):
            return super().forward(images.detach() + 0 * images)

    class Mended(SmallNet):
        def forward(self, images):
            return super().forward(images)

    Mended.__qualname__ = Masked.__qualname__
    masked, mended = start(pushed, model=Masked(), force=True), start(pushed, model=Mended(), force=True)
    (kept,) = earlier.kept(mended.folder)
    assert json.loads((kept / "summary.json").read_text())["cells"] == masked.summary["cells"]
    assert findings(mended, "identity")
    assert mended.info.model.sha256 == masked.info.model.sha256
    assert mended.info.reused == 0
    assert mended.summary["cells"][1]["broken"] > masked.summary["cells"][1]["broken"]
