"""The self-test: every broken defense is caught, every sound model left alone, and a check that sleeps is noticed."""

import json
from dataclasses import replace

import pytest
import torch

from harness.cli import main
from harness.errors import MissingPackage
from harness.inputs.suite import Suite
from harness.inputs.suite_file import read_suite
from harness.testing.selftest import EXAMPLES, SUITE, choose, examine, masks, run
from harness.testing.selftest.networks import NETWORKS
from harness.testing.selftest.patterns import Patterns
from harness.testing.selftest.training import RECIPES


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_the_harness_is_right_about(example):
    (outcome,) = run([example])
    assert outcome.ok, outcome.finding().message
    if example.sound:
        assert outcome.grade == "A"
    elif not outcome.refused:
        assert outcome.grade in ("C", "D", None)  # None: cells are missing


def test_there_are_enough_examples():
    assert len({example.name for example in EXAMPLES}) == len(EXAMPLES)
    assert sum(not example.sound for example in EXAMPLES) >= 16
    assert sum(example.sound for example in EXAMPLES) >= 6
    assert set(RECIPES) == set(NETWORKS)


def asleep(*_):
    return []


SLEEPING = {
    "P2": ("rounding", {"trust.doctor.answers.tiny_ball": asleep}),
    "P3": ("shuffled-labels", {"trust.doctor.accuracy.NOT_CHANCE": 1.0, "trust.doctor.order.FEW_WRONG": 1000}),
    "P3 claim": ("overclaimed", {"evidence.findings.REFUSED": 0.0}),
    "P4": ("stateful", {"trust.doctor.answers.modes": asleep, "run.job.changed_buffers": asleep}),
    "P5 twice": ("random-logits", {"trust.doctor.answers.SAME_CALL": 1.0, "trust.doctor.answers.SAME_IMAGE": 1.0}),
    "P5 alone": ("batch-mean", {"trust.doctor.answers.SAME_IMAGE": 10.0}),
    "P6": ("shifted", {"trust.doctor.answers.logits": asleep}),
    "P7": ("detached", {"trust.doctor.answers.gradients": asleep}),
    "P7 later": ("detector", {"trust.diagnosis.within_attack.DEAD_SHARE": 1.0}),
    "P8": ("off-grid", {"trust.diagnosis.between_attacks.GAP": 2.0}),
    "P9": ("zeroed", {"trust.diagnosis.within_attack.UNBOUNDED": 2.0}),
    "P16": ("overfitted", {"trust.diagnosis.between_attacks.NEAR_CLEAN": 2.0}),
    "P20": ("bgr", {"trust.doctor.probe.FEW_WRONG": 1000}),
    "P21": ("rippled", {"trust.doctor.answers.unstable": asleep}),
}
"""Check to an example that must be missed once the check sleeps, and what puts it to sleep."""
BEFORE_THE_RUN = ("P2", "P3", "P4", "P5", "P6", "P7", "P20", "P21")


def single_step():
    """The suite without what only the diagnosis needs."""
    suite = read_suite(SUITE)
    return replace(suite, attacks=suite.attacks[:1])


@pytest.mark.parametrize("check", SLEEPING)
def test_a_sleeping_check_is_noticed(check, monkeypatch):
    name, changes = SLEEPING[check]
    for place, value in changes.items():
        monkeypatch.setattr(f"harness.{place}", value)
    early = check.partition(" ")[0] in BEFORE_THE_RUN and check != "P7 later"
    outcome = examine(choose([name])[0][0], single_step() if early else read_suite(SUITE))
    assert outcome.verdict == "missed"
    assert f"{check.partition(' ')[0]} must object" in outcome.finding().message


def test_every_check_that_judges_can_be_caught_sleeping():
    """P0 and P1 are left out: without them there is nothing to measure."""
    expected = {code for example in EXAMPLES for code in example.expects}
    assert {check.partition(" ")[0] for check in SLEEPING} == expected - {"P0", "P1"}


def test_a_nervous_check_is_a_false_alarm(monkeypatch):
    monkeypatch.setattr("harness.trust.doctor.answers.UNDERFLOW", 1.0)
    outcome = examine(choose(["linear"])[0][0], single_step())
    assert outcome.verdict == "false alarm"
    assert outcome.finding().message == "linear, a sound model, is objected to by P6"


# ---------------------------------------------------------------- the command


def selftest(capsys, *names):
    words = [word for name in names for word in ("--only", name)]
    code = main(["selftest", "--json", *words])
    return code, json.loads(capsys.readouterr().out)


def test_the_command_says_yes(capsys):
    code, value = selftest(capsys, "probabilities", "bgr")
    assert code == 0
    assert (value["command"], value["ok"], value["findings"]) == ("selftest", True, [])
    data = value["data"]
    assert (data["caught"], data["missed"], data["left_alone"], data["false_alarms"]) == (2, [], 0, [])
    assert [row["said"] for row in data["examples"]] == [["P6"], ["P20"]]
    assert main(["selftest", "--only", "bgr"]) == 0
    assert "1 broken: 1 caught, 0 missed; 0 sound: 0 false alarms" in capsys.readouterr().out


def test_the_command_says_no(capsys, monkeypatch):
    monkeypatch.setattr("harness.trust.doctor.answers.logits", asleep)
    monkeypatch.setattr("harness.testing.selftest.SUITE", SUITE)
    monkeypatch.setattr("harness.testing.selftest.read_suite", lambda _: single_step())
    code, value = selftest(capsys, "shifted")
    assert (code, value["ok"], value["data"]["missed"]) == (1, False, ["shifted"])
    assert value["findings"][0]["message"].startswith("shifted (logits shifted by -100) was missed: P6 must object")


def test_unknown_examples_and_missing_tools_are_told(capsys, monkeypatch):
    assert main(["selftest", "--only", "quantised"]) == 2
    assert "unknown example 'quantised'; did you mean 'quantized'" in capsys.readouterr().err

    class Absent:
        def tool_version(self):
            raise MissingPackage("torchattacks is not installed")

    monkeypatch.setattr(Suite, "resolve", lambda self: (Absent(),))
    assert main(["selftest"]) == 2
    assert "torchattacks is not installed" in capsys.readouterr().err


# ---------------------------------------------------------------- images and masks


def test_images_are_the_same_everywhere_and_eight_bit():
    one, other = Patterns(12, 7), Patterns(12, 7)
    assert torch.equal(one.images, other.images)
    assert torch.equal((one.images * 255).round() / 255, one.images)
    assert one.labels.tolist() == [0, 1, 2, 3, 4, 5] * 2
    assert not torch.equal(one.images, Patterns(12, 8).images)


def test_the_cosine_transform_is_orthonormal_and_rounds():
    basis = masks.cosines()
    torch.testing.assert_close(basis @ basis.T, torch.eye(8), atol=1e-6, rtol=0)
    images = Patterns(4, 7).images
    torch.testing.assert_close(masks.jpeg(images, 1e-6), images, atol=1e-4, rtol=0)
    lossy = (masks.jpeg(images) - images).abs().mean()
    assert 0.005 < float(lossy) < 0.05


def test_the_detector_knows_clean_images():
    images = Patterns(96, 7).images
    noise = 8 / 255 * (torch.randint(0, 2, images.shape, generator=torch.Generator().manual_seed(0)) * 2.0 - 1)
    from harness.testing.selftest.broken import THRESHOLD

    assert (masks.roughness(images) < THRESHOLD).all()
    assert (masks.roughness((images + noise).clamp(0, 1)) > THRESHOLD).all()
