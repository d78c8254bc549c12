"""Adapted attacks on the board: columns of their own behind the suite's, and part of the worst case."""

import csv
import io
import json

import pytest

from leaderboard.render import csv as as_csv
from leaderboard.render import json as as_json
from leaderboard.render import latex, markdown
from leaderboard.render.html.page import render as as_html
from leaderboard.runs.collect import collect
from leaderboard.tables.tables import make_tables, with_attacks


@pytest.fixture
def made(module_runs):
    """`standard` with two adaptations that break more, `trades` with one of them that breaks nothing, `a2s` without."""

    def adapted(name, text):
        return module_runs.attack(name, tool="autoattack") | {"adapt": [{"text": text}], "after": "all"}

    pgd = module_runs.attack("pgd-20")
    margin, scores = adapted("apgd-ce-100+margin", "margin"), adapted("square-2000+scores", "scores")
    falls = {"pgd-20": {0: "8/255"}, "apgd-ce-100+margin": {0: "8/255", 1: "1/255"}, "square-2000+scores": {2: "8/255"}}
    if not module_runs.folder.exists():
        module_runs.write("standard", falls, attacks=[pgd, margin, scores], suite="mine@1")
        module_runs.write("trades", {"pgd-20": {5: "8/255"}}, attacks=[pgd, margin], suite="mine@1")
        module_runs.write("a2s", {"pgd-20": {5: "1/255"}}, attacks=[pgd], suite="mine@1")
    return make_tables(collect([module_runs.folder]))


def test_a_table_has_the_suites_columns_and_behind_them_the_adapted(made):
    (table,) = made
    assert [column.attack for column in table.attacks] == ["pgd-20"]
    assert {column.attack: column.adapt for column in table.adapted} == {
        "apgd-ce-100+margin": ("margin",),
        "square-2000+scores": ("scores",),
    }
    rows = {row.model: row for row in table.rows}
    assert {name: row.tried for name, row in rows.items()} == {
        "standard": ("apgd-ce-100+margin", "square-2000+scores"),
        "trades": ("apgd-ce-100+margin",),
        "a2s": (),
    }
    assert rows["standard"].score("apgd-ce-100+margin", "8/255").correct == 18
    assert rows["a2s"].score("apgd-ce-100+margin", "8/255") is None
    assert [score.correct for score in rows["standard"].worst] == [19, 17]
    assert [score.correct for score in rows["standard"].cells] == [20, 19]
    assert all(row.complete for row in rows.values())
    assert rows["standard"].forwards == sum(s.forwards for s in (*rows["standard"].cells, *rows["standard"].adapted))


def test_left_out_columns_keep_their_cost_and_their_part_of_the_worst_case(made):
    (table,) = made
    fewer = with_attacks(table, ["pgd-20", "square-2000+scores"])
    assert [column.attack for column in fewer.columns] == ["pgd-20", "square-2000+scores"]
    for before, after in zip(table.rows, fewer.rows, strict=True):
        assert (after.forwards, after.tried, after.worst) == (before.forwards, before.tried, before.worst)
        assert after.score("apgd-ce-100+margin", "8/255") is None


def test_every_format_has_them_and_says_where_none_was_tried(made):
    lines = [line.strip("| ").split(" | ") for line in markdown.render(made).splitlines() if line.startswith("| ")]
    header = next(line for line in lines if line[0] == "rank")
    first = header.index("apgd-ce-100+margin 1/255")
    shown = {line[1]: line[first : first + 4] for line in lines if len(line) == len(header) and line != header}
    assert [text.split(" ")[0] for text in shown["standard"]] == ["95.0", "90.0", "100.0", "95.0"]
    assert shown["a2s"] == ["–"] * 4
    assert header[first - 1].startswith("pgd-20")
    assert header[first + 4].startswith("worst case")
    evidence = next(line for line in lines if line[0] == "model" and "adaptations" in line)
    told = {line[0]: line[evidence.index("adaptations")] for line in lines if len(line) == len(evidence)}
    assert {name: told[name] for name in ("standard", "trades", "a2s")} == {
        "standard": "2 tried",
        "trades": "1 tried",
        "a2s": "none tried",
    }

    rows = list(csv.DictReader(io.StringIO(as_csv.render(made))))
    cells = {(row["model"], row["attack"]): (row["adapt"], row["adaptations"], row["tool"]) for row in rows}
    assert cells["trades", "apgd-ce-100+margin"] == ("margin", "1", "autoattack")
    assert cells["a2s", "pgd-20"] == ("", "0", "torchattacks")
    assert ("a2s", "apgd-ce-100+margin") not in cells

    (data,) = json.loads(as_json.render(made))["data"]["tables"]
    assert {column["attack"]: column["adapt"] for column in data["adapted"]} == {
        "apgd-ce-100+margin": ["margin"],
        "square-2000+scores": ["scores"],
    }
    row = next(row for row in data["rows"] if row["model"] == "standard")
    assert {score["attack"]: score["accuracy"] for score in row["adapted"] if score["epsilon_label"] == "8/255"} == {
        "apgd-ce-100+margin": 0.9,
        "square-2000+scores": 0.95,
    }

    text = latex.render(made, ["model", "attacks", "worst", "adaptations"], intervals=False)
    (line,) = [line for line in text.splitlines() if line.startswith("a2s")]
    assert line.count(r"\textendash{}") == 4
    assert line.rstrip(" \\").endswith("none tried")

    page = as_html(made)
    assert page.count("<small>8/255</small></th>") == 4
    assert "none tried" in page
    assert "adapted: margin" in page


def test_a_better_row_with_more_adaptations_is_compared_in_what_both_have(runs):
    """Pairs are counted from the better row on, whose adapted attacks the other may not have."""
    pgd = runs.attack("pgd-20")
    margin = runs.attack("apgd-ce-100+margin", tool="autoattack") | {"adapt": [{"text": "margin"}], "after": "all"}
    runs.write("standard", {"pgd-20": {0: "8/255"}}, attacks=[pgd, margin], suite="mine@1")
    runs.write("a2s", {"pgd-20": {5: "1/255", 6: "1/255"}}, attacks=[pgd], suite="mine@1")
    (table,) = make_tables(collect([runs.folder]))
    assert [row.model for row in table.rows] == ["standard", "a2s"]
    assert {cell.attack for cell in table.pairs[0].cells} == {"clean", "pgd-20", "worst"}


def test_a_column_says_what_its_rows_share(runs):
    pgd = runs.attack("pgd-20")

    def pool(*names):
        texts = [{"text": f"pool:{name}", "weights": "a"} for name in names]
        return runs.attack("witnesses+pool", tool="harness") | {"adapt": texts, "after": "all"}

    runs.write("standard", {}, attacks=[pgd, pool("x", "y")], suite="mine@1")
    runs.write("a2s", {}, attacks=[pgd, pool("z")], suite="mine@1")
    (table,) = make_tables(collect([runs.folder]))
    assert [column.adapt for column in table.adapted] == [("pool",)]
