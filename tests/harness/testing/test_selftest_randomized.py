"""The self-test's third part: the vote keeps what one draw a query loses, and the score can say that it does not."""

import json
from dataclasses import replace

import pytest

from harness.cli import main
from harness.testing.selftest.randomized import RANDOMIZED, keep


@pytest.mark.torchattacks
@pytest.mark.parametrize("model", RANDOMIZED, ids=lambda model: model.name)
def test_the_majority_stands_where_single_draws_fall(model):
    (kept,) = keep([model])
    assert kept.ok, kept.finding().message
    assert kept.clean - kept.once > 0.1, "else the example shows nothing"


@pytest.mark.torchattacks
def test_the_command_measures_them(capsys):
    assert main(["selftest", "--json", "--only", "noise"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert [(one["name"], one["ok"]) for one in data["randomized"]] == [("noise", True)]
    assert data["masks"] == data["examples"] == []


def test_what_goes_wrong_is_said():
    from harness.testing.selftest.randomized import Kept

    model = RANDOMIZED[0]
    good = Kept(model=model, clean=0.9, robust=0.9, once=0.5, flagged=True, alarm=False, seconds=1.0)
    assert good.ok
    for changes, words in (
        ({"robust": 0.8}, "fell from 90.0% to 80.0% at 1e-5"),
        ({"flagged": False}, "was not flagged"),
        ({"alarm": True}, "when it was asked often"),
    ):
        bad = replace(good, **changes)
        assert not bad.ok
        assert words in bad.finding().message
