"""The study's tables and curves from runs."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from repository import ROOT

from leaderboard.runs.collect import collect
from leaderboard.study.report import MODELS, as_data, as_markdown, by_model, differences, figures
from leaderboard.study.trainings import folder_of

E1, E8 = "1/255", "8/255"


@pytest.fixture
def found(runs):
    paper = [runs.attack("fgsm", iterative=False), runs.attack("pgd-20", steps=20)]
    claims = {"name": "standard", "claims": {"signs": {"accuracy": 0.985, "n": 1290}}}
    runs.write("standard", {"fgsm": {1: E8}, "pgd-20": dict.fromkeys(range(15), E1)}, suite="paper@1", attacks=paper,
               mode="faithful", card=claims)  # fmt: skip
    runs.write("a2s", {"pgd-20": dict.fromkeys(range(4), E8)}, suite="paper@1", attacks=paper, mode="faithful")
    steps = [runs.attack(f"pgd-{k}", steps=k) for k in (10, 1, 100)]
    falls = {f"pgd-{k}": dict.fromkeys(range(n), E8) for k, n in ((1, 2), (10, 7), (100, 9))}
    runs.write("standard", falls, suite="paper-steps@1", attacks=steps, mode="faithful", grid=[E8])
    runs.write("someone-else", {}, suite="paper@1", attacks=paper, mode="faithful")
    records = collect([runs.folder])
    return by_model(records, "paper"), by_model(records, "paper-steps")


def test_the_studys_models_in_its_order_and_no_others(found) -> None:
    assert [list(part) for part in found] == [["standard", "a2s"], ["standard"]]


def test_runs_that_cannot_be_compared_are_not_mixed(runs) -> None:
    attacks = [runs.attack("fgsm", iterative=False)]
    runs.write("standard", {}, suite="paper@1", attacks=attacks, n=20)
    runs.write("a2s", {}, suite="paper@1", attacks=attacks, n=30)
    runs.write("trades", {}, suite="paper@1", attacks=attacks, n=30)
    assert list(by_model(collect([runs.folder]), "paper")) == ["trades", "a2s"]


def test_curves_start_at_clean_accuracy_and_follow_the_axis(found) -> None:
    panels = figures(*found)
    assert list(panels) == ["fgsm-epsilon", "pgd-epsilon", "a2s-standard", "pgd-steps"]
    standard = panels["pgd-epsilon"].curves[0]
    assert standard.label == "standard"
    assert [point.x for point in standard.points] == [0, 1 / 255, 8 / 255]
    assert [point.accuracy for point in standard.points] == [1, 0.25, 0.25]
    (steps,) = panels["pgd-steps"].curves
    assert [(point.x, point.accuracy) for point in steps.points] == [(1, 0.9), (10, 0.65), (100, 0.55)]
    assert panels["pgd-steps"].ticks == {1: "1", 10: "10", 100: "100"}
    assert [curve.label for curve in panels["a2s-standard"].curves] == [
        "standard, fgsm", "standard, pgd-20", "a2s, fgsm", "a2s, pgd-20",
    ]  # fmt: skip
    assert all(point.low <= point.accuracy <= point.high for point in steps.points)


def test_a_cell_without_a_number_is_a_gap(runs) -> None:
    attacks = [runs.attack("fgsm", iterative=False), runs.attack("pgd-20", steps=20)]
    runs.write("standard", {}, suite="paper@1", attacks=attacks, without=[("fgsm", E8)], status="interrupted")
    paper = by_model(collect([runs.folder]), "paper")
    points = figures(paper, {})["fgsm-epsilon"].curves[0].points
    assert [math.isnan(point.accuracy) for point in points] == [False, False, True]
    assert "missing" in as_markdown(paper, {})


def test_the_pretrained_model_against_its_twin(found) -> None:
    cells = {d.place: d for d in differences(found[0])}
    cell = cells["pgd-20", E1]
    assert (cell.paired.only_a, cell.paired.only_b, cell.paired.difference) == (15, 0, 0.75)
    assert cell.p_holm == pytest.approx(5 * 2 / 2**15)  # five cells: clean and two attacks at two epsilons
    assert cells["clean", "0"].paired.difference == 0
    assert differences({"standard": found[0]["standard"]}) == []


def test_the_report_has_the_studys_numbers_beside(found) -> None:
    text = as_markdown(*found)
    assert "| standard | 96.64 | 98.50 (n = 1,290) | 100.0 [83.9, 100.0] |" in text
    assert "| a2s | – | – | 100.0 [83.9, 100.0] |" in text
    assert "| model | 1 | 10 | 100 |" in text
    assert "| standard | 90.0 | 65.0 | 55.0 |" in text
    data = json.loads(json.dumps(as_data(*found)))
    assert data["runs"]["paper-steps"].keys() == {"standard"}
    (cell,) = [c for c in data["cells"] if (c["model"], c["attack"]) == ("standard", "pgd-10")]
    assert (cell["suite"], cell["epsilon_label"], cell["accuracy"]) == ("paper-steps", E8, 0.65)


@pytest.mark.parametrize(
    ("folder", "regimes"),
    [("reproduction", None), ("reproduction-study", {folder_of(name, Path()).name: name for name in MODELS})],
)
def test_the_documented_stress_tests_come_from_the_committed_files(folder, regimes) -> None:
    records = collect([ROOT / "leaderboard" / folder])
    report = as_markdown(by_model(records, "paper", regimes), by_model(records, "paper-steps", regimes))
    text = (ROOT / "docs" / "reproduction.md").read_text(encoding="utf-8")
    tables = [part for part in report.split("\n\n") if part.startswith("| model | 1")]
    assert len(tables) == 3
    for table in tables:
        assert table in text


def test_the_documented_gain_by_the_study_s_recipes_comes_from_the_committed_files() -> None:
    regimes = {folder_of(name, Path()).name: name for name in MODELS}
    found = differences(by_model(collect([ROOT / "leaderboard" / "reproduction-study"]), "paper", regimes))
    text = (ROOT / "docs" / "reproduction.md").read_text(encoding="utf-8")
    for name, attack in (("FGSM", "fgsm"), ("PGD-20", "pgd-20")):
        cells = [
            f"{100 * one.paired.difference:+.1f} [{100 * one.paired.interval[0]:+.1f},"
            f" {100 * one.paired.interval[1]:+.1f}]"
            for one in found
            if one.place[0] == attack
        ]
        assert len(cells) == 8
        assert f"| {name} | {' | '.join(cells)} |" in text
