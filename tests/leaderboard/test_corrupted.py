"""Runs under corruptions where people read them: severities and means, no epsilon, worst case or attack."""

import dataclasses
import re

import pytest
from toys import SmallNet, labeled, loaded

from harness.inputs.suite_file import load_suite
from harness.run.job import Options, evaluate
from leaderboard import row_text, wording
from leaderboard.figures.curves import security_panels
from leaderboard.render.html.data import table_data
from leaderboard.render.html.page import render as as_page
from leaderboard.render.markdown import render as as_markdown
from leaderboard.render.markdown import render_folded
from leaderboard.runs.collect import collect
from leaderboard.tables.tables import make_tables


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder, data = tmp_path_factory.mktemp("results"), labeled(SmallNet(), 16)
    suite = load_suite("corruptions").with_grid(["1", "3"])
    for seed in (0, 1):
        model = loaded(SmallNet(seed=seed), 5, f"net-{seed}")
        evaluate(model, suite, data, Options(folder, device="cpu", force=True))
    (found,) = make_tables(collect([folder]))
    return found


def test_levels_are_severities_and_the_union_is_a_mean(table):
    assert wording.level_name(table) == "severity"
    (pair,) = table.pairs
    names = [wording.difference_texts(table, cell)[0] for cell in pair.cells]
    assert names[:3] == ["clean", "gaussian-noise 1", "gaussian-noise 3"]
    assert names[-2:] == ["mean over kinds, severity 1", "mean over kinds, severity 3"]
    assert [
        cell[0] for cell in table_data(table, {(r.model, r.weights): 0 for r in table.rows})["pairs"][0]["cells"]
    ] == names


def test_folded_means_stand_in_short_behind_the_first_table(table):
    """Where corruptions are not the first table: no kinds there, severities named, the figures of the whole table."""
    other = dataclasses.replace(table, threat="ball", norm="linf", rows=table.rows * 2)
    front, *_ = render_folded([table, other], {}, "About.").split("<details>")
    short = front[front.index(f"## {table.data}, corruptions") :]
    header, _, *rows = [line for line in short.splitlines() if line.startswith("|")]
    assert header.endswith("| clean | mean over kinds, severity 3 | mean over kinds, severity 1 |")
    assert "Rows rank by mean over kinds, severity 3;" in short
    assert [line.split(" | ")[-2:] for line in rows] == [
        [row_text.score_text(row.worst[1]), f"{row_text.score_text(row.worst[0])} |"] for row in table.rows
    ]


def test_curves_are_of_accuracy_at_severities(table):
    panels = security_panels(table)
    assert len(panels) == 19
    assert {panel.ylabel for panel in panels} == {"accuracy, %"}
    assert {panel.xlabel for panel in panels} == {"severity"}


def test_page_and_markdown_speak_of_severities(table):
    page = as_page([table])
    assert "Accuracy against severity; at 0 it is the clean accuracy" in page
    assert "Classes under corruptions" in page
    assert not re.search(r"At the epsilon|Classes under attack|>worst \d", page)
    assert "mean over kinds" in as_markdown([table])
