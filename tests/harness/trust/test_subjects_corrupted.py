"""Runs on corrupted data name a data set that whoever verifies finds again."""

import pytest

from harness.inputs.corruptions.names import joined_corruptions, parted_corruptions
from harness.trust.verify.subjects import _data_set
from leaderboard.figures.gallery import may_be_shown
from leaderboard.runs.chosen import data_names


@pytest.mark.parametrize(
    ("text", "base", "steps"),
    [
        ("signs", "signs", ()),
        ("signs+fog:3", "signs", (("fog", 3),)),
        ("folder:a+b/c+rain:2+jpeg:5", "folder:a+b/c", (("rain", 2), ("jpeg", 5))),
        ("x.npz?range=255+fog:1", "x.npz?range=255", (("fog", 1),)),
        ("a+b:c", "a+b:c", ()),
    ],
)
def test_corruptions_stand_behind_a_name(text, base, steps):
    assert parted_corruptions(text) == (base, steps)
    assert joined_corruptions(base, steps) == text


def test_the_installed_set_is_found_by_the_name_that_results_print():
    assert _data_set("signs+fog:3") == ("signs+fog:3", "test")
    assert _data_set("gtsrb-test+fog:3+jpeg:1") == ("gtsrb+fog:3+jpeg:1", "test")
    assert _data_set("nobody+fog:3") is None


def test_what_may_be_shown_is_the_source_s_to_say():
    assert may_be_shown("signs+fog:3") is may_be_shown("signs") is True
    assert may_be_shown("gtsrb-test+fog:3") is False


def test_runs_are_chosen_by_what_was_typed_or_printed():
    assert {"gtsrb+fog:3", "gtsrb-test+fog:3"} <= data_names("gtsrb+fog:3")
    assert "gtsrb-test" not in data_names("gtsrb+fog:3")
