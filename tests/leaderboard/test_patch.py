"""A run under patches where people read it: tables, curves, checklist, gate and page."""

import pytest
from toys import SmallNet, labeled, loaded

from harness.base.threat import parse_grid
from harness.errors import BadEpsilon
from harness.evidence.suite_label import shown_label
from harness.inputs.suite import Suite
from harness.run.job import Options, evaluate
from harness.types import AttackSpec
from leaderboard import wording
from leaderboard.compare.gate import judge
from leaderboard.compare.requirements import parse
from leaderboard.figures.curves import security_panels
from leaderboard.render.csv import render as as_csv
from leaderboard.render.html.data import table_data
from leaderboard.render.html.page import render as as_page
from leaderboard.render.markdown import render as as_markdown
from leaderboard.runs.collect import collect
from leaderboard.tables.checklist import checklist
from leaderboard.tables.tables import make_tables

pytest.importorskip("art")
pytestmark = pytest.mark.art
SPEC = AttackSpec("masked-pgd-4", "art", "masked-pgd", {"steps": 4, "step_size": 0.25, "random_start": True})


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """The same attack and number as a covered share and, in another suite, as a radius."""
    folder, model = tmp_path_factory.mktemp("results"), SmallNet()
    for threat, grid, spec in [
        ("patch", ("2%", "10%"), SPEC),
        ("ball", ("0.02", "0.1"), AttackSpec("pgd-4", "art", "pgd", SPEC.params)),
    ]:
        suite = Suite(
            name=f"of-{threat}", version=1, norm="linf", grid=parse_grid(grid, "linf", threat), mode="observed",
            chunk=16, attacks=(spec,), threat=threat,
        )  # fmt: skip
        evaluate(loaded(model, 5), suite, labeled(model, 16), Options(folder, device="cpu"))
    return collect([folder])


def of_patch(records):
    (record,) = [record for record in records if record.info.suite.threat == "patch"]
    return record


def test_a_patch_is_a_table_of_its_own_and_says_what_may_change(records):
    tables = make_tables(records)
    assert sorted(table.norm for table in tables) == ["linf", "patch"]
    (table,) = [table for table in tables if table.norm == "patch"]
    assert table.grid == ("2%", "10%")
    assert "patch: all pixels under a square that covers at most 2%, 10% of the image" in wording.holds_text(table)
    (panel, *_) = security_panels(table)
    assert panel.xlabel == "covered share of the image"
    assert panel.ticks == {0.0: "0", 0.02: "2%", 0.1: "10%"}
    assert "square that covers at most 2%, 10% of the image" in checklist(of_patch(records))[0].evidence
    assert shown_label(of_patch(records).info) == "of-patch@1"


def test_every_format_shows_shares(records):
    tables = make_tables(records)
    assert "## toy, patch, suite of-patch@1, observed" in as_markdown(tables)
    assert ",patch," in as_csv(tables)
    assert "covered share of the image, %" in as_page(tables)
    (table,) = [table for table in tables if table.norm == "patch"]
    curve = table_data(table, {(row.model, row.weights): 0 for row in table.rows})["curves"][0]
    assert (curve["ticks"], [x for x, *_ in curve["lines"][0][2]]) == ([0, 2, 10], [0, 2, 10])


def test_a_gate_asks_for_a_share_and_takes_no_radius_for_it(records):
    score = next(score for place, score in of_patch(records).scores.items() if place[1] == "10%")
    (ruling,) = judge([of_patch(records)], [parse(f"masked-pgd-4@10%>={score.accuracy}")])[-1:]
    assert ruling.passed
    (ruling,) = judge([of_patch(records)], [parse("masked-pgd-4@10%>=1")])[-1:]
    assert ruling.passed == (score.accuracy == 1)
    (ruling,) = judge([of_patch(records)], [parse("masked-pgd-4@0.1>=0")])[-1:]
    assert not ruling.passed
    assert "measured at 2%, 10%" in ruling.message
    with pytest.raises(BadEpsilon, match="is not a percentage up to 100"):
        parse("masked-pgd-4@120%>=0.5")
