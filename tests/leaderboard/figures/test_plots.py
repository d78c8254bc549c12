"""Figures: the right points in the right panels, the same bytes again, and names that stay text."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree

import pytest

from harness.errors import UnknownName, UsageError
from leaderboard.cli import plot
from leaderboard.figures import plots
from leaderboard.figures.choose import figure
from leaderboard.figures.curves import security_panels, step_panels
from leaderboard.figures.plots import Curve, Panel, Point, draw
from leaderboard.runs.chosen import Filter, select
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
    (panel,), _ = figure(records, ("worst",))
    assert panel.title == "worst case"
    (panel,), _ = figure(records)
    assert panel.title == "pgd-20"
    with pytest.raises(UsageError, match="no number of steps"):
        figure(records, ("worst",), steps=True)


def test_plot_writes_what_the_ending_says(runs, call, tmp_path) -> None:
    runs.write("a", {"pgd-20": {0: E1}})
    assert call(plot, runs.folder, "-o", tmp_path / "x.pdf") == 0
    assert (tmp_path / "x.pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(UsageError, match="jpg"):
        call(plot, runs.folder, "-o", tmp_path / "x.jpg")


def test_tables_never_share_a_figure(runs) -> None:
    runs.write("a")
    runs.write("a", data="other", slice_="sha256:" + "b" * 64)
    records = collect([runs.folder])
    with pytest.raises(UsageError, match=r"2 tables fit.*signs.*--data"):
        figure(records)
    records = select(records, Filter(data="signs"))
    _, caption = figure(records)
    assert "signs" in caption
    assert "n = 20" in caption
    with pytest.raises(UnknownName):
        figure(records, ("nosuch",))
    with pytest.raises(UsageError, match="steps alone"):
        figure(records, steps=True)


def test_a_curve_of_a_run_with_errors_is_marked(runs) -> None:
    runs.write("m", {}, findings=[{"check": "P7", "level": "error", "message": "gradients are zero"}])
    runs.write("sound", {})
    panels, caption = figure(collect([runs.folder]))
    assert [(curve.label, curve.mark) for curve in panels[0].curves] == [("m", "†"), ("sound", "")]
    assert caption.endswith("† findings of level error, so that these figures are not to be trusted: m (P7).")
    (legend,) = plots._figure(panels, caption).legends
    assert [text.get_text() for text in legend.get_texts()] == ["m †", "sound"]


@pytest.mark.parametrize("panels", [1, 2, 3, 4])
@pytest.mark.parametrize("label", ["trades", "a name of thirty-seven characters, long", "W" * 40])
def test_nothing_is_clipped(panels: int, label: str) -> None:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    points = (Point(0, 0.9, 0.8, 0.95), Point(1, 0.5, 0.4, 0.6))
    curves = tuple(Curve(f"{place}{label}", points) for place in range(8))
    title = "torchattacks targeted-pgd-with-restarts {} at 8/255"
    drawn = [Panel(title=title.format(place), xlabel="x", curves=curves) for place in range(panels)]
    caption = "gtsrb-test, linf, suite fgsm-pgd@1, observed, n = 2,000. Bands: 95 % Wilson intervals over images."
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(plots._STYLE)
        figure = plots._figure(drawn, caption)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        (legend,) = figure.legends
        texts = [*legend.get_texts(), legend.get_title(), *(axes.title for axes in figure.axes if axes.get_visible())]
        for text in texts:
            box = text.get_window_extent()
            assert box.x0 >= 0, text
            assert box.y0 >= 0, text
            assert box.x1 <= figure.bbox.x1, text
            assert box.y1 <= figure.bbox.y1, text
        assert legend.get_title().get_text().replace("\n", " ") == caption
        assert min(axes.bbox.height for axes in figure.axes) > figure.dpi  # no panel is squeezed below an inch
