"""Figures: the right points in the right panels, the same bytes again, and names that stay text."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree

import pytest

from harness.errors import UnknownName, UsageError
from leaderboard.cli import plot
from leaderboard.figures.choose import Choice, figure
from leaderboard.figures.curves import security_panels, step_panels
from leaderboard.figures.plots import Curve, Panel, Point, draw
from leaderboard.runs.collect import collect
from leaderboard.tables.tables import make_tables

E1, E8 = "1/255", "8/255"


@pytest.fixture
def table(runs):
    attacks = [runs.attack("fgsm", iterative=False), runs.attack("pgd-10", steps=10), runs.attack("pgd-2", steps=2)]
    runs.write("a", {"fgsm": {0: E8}, "pgd-10": {0: E1, 1: E8}, "pgd-2": {0: E1}}, attacks=attacks, wrong=[19])
    runs.write("b", attacks=attacks, without=[("pgd-2", E1)], status="interrupted")
    (made,) = make_tables(collect([runs.folder]))
    return made


def curve(panels, title, label):
    (panel,) = (panel for panel in panels if panel.title == title)
    (found,) = (curve for curve in panel.curves if curve.label == label)
    return [(round(point.x * 255, 6), point.accuracy) for point in found.points]


def test_a_security_curve_starts_at_the_clean_accuracy_and_goes_up_the_grid(table) -> None:
    panels = security_panels(table)
    assert [panel.title for panel in panels] == ["fgsm", "pgd-10", "pgd-2", "worst case"]
    assert curve(panels, "pgd-10", "a") == [(0, 0.95), (1, 0.9), (8, 0.85)]
    assert panels[0].ticks == {0.0: "0", 1 / 255: "1", 8 / 255: "8"}
    assert panels[0].xlabel == "linf epsilon, in 1/255"


def test_a_cell_without_a_number_is_a_gap(table) -> None:
    assert math.isnan(curve(security_panels(table), "pgd-2", "b")[1][1])


def test_attacks_that_differ_in_steps_alone_make_a_curve_against_steps(table) -> None:
    panels = step_panels(table)
    assert [panel.title for panel in panels] == ["torchattacks pgd at 1/255", "torchattacks pgd at 8/255"]
    assert [(p.x, p.accuracy) for p in panels[1].curves[0].points] == [(2.0, 0.9), (10.0, 0.85)]
    assert step_panels(table, ("pgd-2", "pgd-10")) == panels
    assert step_panels(table, ("pgd-2",)) == []  # one number of steps is no curve


def test_the_same_panels_give_the_same_bytes_and_names_stay_text(tmp_path) -> None:
    points = (Point(1, 0.9, 0.8, 0.95), Point(2, math.nan, math.nan, math.nan), Point(3, 0.5, 0.4, 0.6))
    panels = [
        Panel(
            title="$\\frac{", xlabel="x", curves=(Curve("_hidden $x^", points), Curve("<script>", points[:1])), log=True
        )
    ]
    draw(panels, tmp_path / "a.svg", "$caption")
    draw(panels, tmp_path / "b.svg", "$caption")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    ElementTree.parse(tmp_path / "a.svg")


def test_the_worst_case_is_drawn_where_it_is_asked_for(runs) -> None:
    runs.write("a", {"pgd-20": {0: E1}})
    records = collect([runs.folder])
    (panel,), _ = figure(records, Choice(attacks=("worst",)))
    assert panel.title == "worst case"
    (panel,), _ = figure(records, Choice())
    assert panel.title == "pgd-20"
    with pytest.raises(UsageError, match="no number of steps"):
        figure(records, Choice(attacks=("worst",), steps=True))


def test_plot_writes_what_the_ending_says(runs, call, tmp_path) -> None:
    runs.write("a", {"pgd-20": {0: E1}})
    assert call(plot, runs.folder, "-o", tmp_path / "x.pdf") == 0
    assert (tmp_path / "x.pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(UsageError, match="jpg"):
        call(plot, runs.folder, "-o", tmp_path / "x.jpg")


def test_tables_never_share_a_figure(runs) -> None:
    runs.write("a")
    runs.write("a", data="other")
    records = collect([runs.folder])
    with pytest.raises(UsageError, match=r"2 tables fit.*signs.*--data"):
        figure(records, Choice())
    _, caption = figure(records, Choice(data="signs"))
    assert "signs" in caption
    assert "n = 20" in caption
    with pytest.raises(UsageError, match="no table fits"):
        figure(records, Choice(suite="nosuch"))
    with pytest.raises(UnknownName):
        figure(records, Choice(data="signs", attacks=("nosuch",)))
    with pytest.raises(UsageError, match="steps alone"):
        figure(records, Choice(data="signs", steps=True))
