"""The self-test's second part: masks are broken, and the score can say that they are not."""

import json

import pytest
import torch

from harness.cli import main
from harness.testing.selftest.examples import SEED, classifier
from harness.testing.selftest.hidden import HIDDEN
from harness.testing.selftest.patterns import Patterns
from harness.testing.selftest.recovery import GOAL, LEAST, Recovery, recover


@pytest.mark.slow
@pytest.mark.parametrize("mask", HIDDEN, ids=lambda mask: mask.name)
def test_a_mask_is_broken(mask):
    (one,) = recover([mask])
    assert one.masked - one.true >= LEAST
    assert one.broken, one.finding().message


def test_there_are_enough_masks_and_they_predict_what_the_network_does():
    """A mask that cost clean accuracy would hide less than it seems to."""
    assert len({mask.name for mask in HIDDEN}) == len(HIDDEN) >= 14
    assert sum(mask.apart for mask in HIDDEN) >= 5
    images = Patterns(48, SEED).images
    wanted = classifier("plain")(images)
    for mask in HIDDEN:
        got = mask.model().eval()(images)
        assert torch.equal(got.argmax(1), wanted.argmax(1)), mask.name
        if not mask.by_hand and mask.name not in ("saturated", "two-masks"):
            assert torch.allclose(got, wanted, atol=1e-4), f"{mask.name} changes the forward pass"


def test_the_score_is_the_share_of_hidden_points():
    (mask,) = (one for one in HIDDEN if one.name == "zeroed")

    def recovery(masked, adapted, true):
        return Recovery(mask=mask, masked=masked, adapted=adapted, true=true, tried=(), seconds=1.0, more=1.0)

    assert recovery(0.8, 0.5, 0.2).score == pytest.approx(0.5)
    assert not recovery(0.8, 0.5, 0.2).ok
    assert recovery(0.8, 0.2 + 0.59 * (1 - GOAL), 0.2).ok
    assert recovery(0.8, 0.1, 0.2).score == 1.0
    assert recovery(0.8, 0.8, 0.78).score is None
    assert recovery(0.8, 0.8, 0.78).ok
    assert "60.0% hidden points 30.0% were recovered" in recovery(0.8, 0.5, 0.2).finding().message


def test_a_mask_that_stands_is_told(capsys, monkeypatch):
    monkeypatch.setattr("harness.run.adaptive.BUDGET", 1)
    assert main(["selftest", "--only", "blocked", "--json"]) == 1
    value = json.loads(capsys.readouterr().out)
    assert value["data"]["masks_broken"] == 0
    assert value["findings"][0]["message"].startswith("blocked (no gradient in the middle) stands")
