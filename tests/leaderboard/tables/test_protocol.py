"""The checklist is answered from the run: what was not done is not claimed."""

import pytest

from leaderboard.runs.collect import collect
from leaderboard.tables.checklist import checklist

TRANSFER = "Try transfer from other models"


def finding(message, level="info", check="P26"):
    return {"check": check, "level": level, "message": message}


@pytest.mark.parametrize(
    ("findings", "answer", "told"),
    [
        ([], "no", "no model of another training"),
        ([finding("the witnesses of x could not be offered: other samples")], "no", "no model of another training"),
        ([finding("of 12 witnesses found against a, 0 more break")], "yes", "of 12 witnesses"),
        ([finding("of 12 witnesses found against a"), finding("9.0 % survive", "error")], "yes", "9.0 % survive"),
        ([finding("gradients vanish", "warn", "P7")], "no", "no model of another training"),
    ],
)
def test_transfer_is_answered_only_where_it_was_tried(runs, findings, answer, told):
    runs.write("trades", findings=findings)
    (record,) = collect([runs.folder])
    (found,) = [one for one in checklist(record) if one.question == TRANSFER]
    assert found.answer == answer
    assert told in found.evidence


@pytest.mark.parametrize(
    ("attacks", "told"),
    [
        ([("pgd-20", {})], "untargeted, white box,"),
        ([("pgd-20", {"target": "least_likely"})], "targeted, white box,"),
        ([("pgd-20", {}), ("fgsm", {"target": "1"})], "untargeted and targeted, white box,"),
        ([("square", {})], "untargeted, black box (scores or decisions),"),
        ([("square", {}), ("pgd-20", {})], "untargeted, white box and black box,"),
    ],
)
def test_the_threat_model_is_that_of_the_attacks(runs, attacks, told):
    runs.write("a", attacks=[runs.attack(name, **params) for name, params in attacks])
    (record,) = collect([runs.folder])
    assert checklist(record)[0].evidence.startswith(told)
