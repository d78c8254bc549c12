"""The ranking of confusions covers every pair of the 43 signs, and says what the page's documentation says."""

import pytest

from leaderboard.runs.record import Record
from leaderboard.tables.danger import KNOWN, danger, ranked
from model_zoo.datasets.classes import TRAFFIC_SIGNS


def test_every_sign_is_known_and_every_pair_has_a_danger() -> None:
    assert set(TRAFFIC_SIGNS) == KNOWN
    assert ranked(TRAFFIC_SIGNS)
    assert not ranked(("cat", "dog"))
    assert not ranked(())
    assert {danger(a, b)[0] for a in KNOWN for b in KNOWN if a != b} == {1, 2, 3, 4}


@pytest.mark.parametrize(
    ("sign", "read_as", "level"),
    [
        ("stop", "speed limit 50", 4), ("stop", "yield", 2), ("yield", "stop", 1), ("stop", "no entry", 1),
        ("yield", "priority road", 4), ("no entry", "ahead only", 4), ("no vehicles", "no entry", 1),
        ("speed limit 30", "speed limit 80", 3), ("speed limit 80", "speed limit 30", 1),
        ("speed limit 50", "end of all limits", 3), ("speed limit 50", "stop", 2), ("children", "priority road", 3),
        ("children", "pedestrians", 1), ("road works", "keep right", 2), ("keep right", "keep left", 3),
        ("turn left ahead", "turn right ahead", 2), ("no overtaking", "end of no overtaking", 2),
        ("no overtaking for trucks", "no overtaking", 1), ("priority road", "yield", 1),
    ],
)  # fmt: skip
def test_what_a_confusion_means(sign: str, read_as: str, level: int) -> None:
    assert danger(sign, read_as)[0] == level


def test_more_danger_comes_before_more_images(runs) -> None:
    from leaderboard.runs.collect import read_run
    from leaderboard.tables.detail import detail_of

    # Every sample is read as the next class: danger first, then number.
    record: Record = read_run(
        runs.write("a", {"pgd-20": dict.fromkeys(range(60), "8/255")}, n=60, classes=TRAFFIC_SIGNS)
    )
    shown = [c for c in detail_of(record).confusions if c.epsilon_label == "8/255"]
    assert [(c.danger, c.count) for c in shown] == sorted([(c.danger, c.count) for c in shown], reverse=True)
    assert TRAFFIC_SIGNS[shown[0].label] in ("stop", "no entry", "no vehicles", "yield")
    assert sum(c.count for c in shown) == 60
