"""What may stand in one table, which run speaks for a model, and how the rows rank."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.evidence.store import RunStore
from harness.evidence.summary import summarize
from harness.trust.diagnosis import verdict
from leaderboard.render import csv, latex, markdown
from leaderboard.render.html import page
from leaderboard.runs.collect import collect
from leaderboard.tables.tables import make_tables
from leaderboard.wording import ranking_text, titles

E1, E8 = "1/255", "8/255"


def tables(runs) -> list[Any]:
    records = collect([runs.folder])
    found = make_tables(records)
    assert make_tables(records[::-1]) == found, "the order of the folders must not matter"
    return found


@pytest.mark.parametrize(
    "other",
    [
        {"norm": "l2"},
        {"slice_": "sha256:" + "b" * 64},
        {"n": 19},
        {"suite": "pgd@2"},
        {"grid": (E1, "4/255")},
        {"mode": "faithful"},
        {"steps": 21},
        {"resolved": {"1/255": {"step_size": 0.1}}},
        {"chunk": 256},
    ],
    ids=lambda other: next(iter(other)),
)
def test_what_differs_never_shares_a_table(runs, other: dict[str, Any]) -> None:
    other = dict(other)
    runs.write("a", {})
    attack = runs.attack("pgd-20", steps=other.pop("steps", 20))
    attack["resolved"] = other.pop("resolved", {})
    runs.write("b", {}, attacks=[attack], **other)
    found = tables(runs)
    assert sorted(tuple(row.model for row in table.rows) for table in found) == [("a",), ("b",)]
    assert len(set(titles(found))) == 2, "headings must tell the tables apart"


def test_the_same_samples_under_two_names_share_a_table_that_has_both(runs) -> None:
    """From an npz and from two npy files: the hash says that they are the same."""
    runs.write("a", {}, data="arrays-set-test")
    runs.write("b", {}, data="arrays-images-test")
    (table,) = tables(runs)
    assert {row.model for row in table.rows} == {"a", "b"}
    assert table.data == "arrays-images-test = arrays-set-test"


def test_versions_of_a_tool_share_a_table_and_are_shown(runs) -> None:
    runs.write("a", {})
    runs.write("b", {}, attacks=[{**runs.attack("pgd-20", steps=20), "tool_version": "4.0"}])
    (table,) = tables(runs)
    assert {row.model: row.tools["pgd-20"] for row in table.rows} == {"a": "3.5.1", "b": "4.0"}


def test_the_newest_complete_run_speaks_and_the_others_are_listed(runs) -> None:
    old = runs.write("a", {"pgd-20": {1: E1}}, finished="2024-01-01T00:00:00+00:00")
    new = runs.write("a", {"pgd-20": {1: E1, 2: E1}}, finished="2024-02-01T00:00:00+00:00")
    torn = runs.write("a", {}, finished="2024-03-01T00:00:00+00:00", status="interrupted", without=[("pgd-20", E8)])
    (table,) = tables(runs)
    assert [row.run for row in table.rows] == [new.name]
    assert table.rows[0].cells[0].correct == 18
    assert {other.run: other.reason for other in table.others} == {old.name: "older", torn.name: "incomplete"}


def test_a_randomized_model_asked_often_speaks_before_a_newer_run_that_asked_once_and_says_so(runs) -> None:
    often = runs.write("a", {}, finished="2024-01-01T00:00:00+00:00", info={"randomness": {"draws": 100}})
    once = runs.write("a", {"pgd-20": {1: E1}}, finished="2024-02-01T00:00:00+00:00")
    runs.write("b", {})
    (table,) = tables(runs)
    assert {row.label for row in table.rows} == {"a (majority of 100 draws)", "b"}
    assert [row.run for row in table.rows if row.model == "a"] == [often.name]
    assert [(other.run, other.reason) for other in table.others] == [(once.name, "a randomized model, asked once")]
    assert "majority of 100 draws" in markdown.render([table])


def test_without_a_complete_run_the_newest_is_shown_with_its_gaps(runs) -> None:
    runs.write("a", {}, finished="2024-01-01T00:00:00+00:00", status="interrupted", without=[("pgd-20", E8)])
    newest = runs.write("a", {}, finished="2024-02-01T00:00:00+00:00", status="interrupted", without=[("pgd-20", E8)])
    (table,) = tables(runs)
    assert table.rows[0].run == newest.name
    assert [score.status for score in table.rows[0].cells] == ["ok", "missing"]
    assert not table.rows[0].complete


def test_seeds_and_weights_are_rows_of_their_own_with_their_own_labels(runs) -> None:
    runs.write("a", {}, sha256="sha256:" + "1" * 64)
    runs.write("a", {}, sha256="sha256:" + "2" * 64)
    runs.write("b", {})
    runs.write("b", {}, seed=1)
    (table,) = tables(runs)
    labels = {row.label for row in table.rows}
    assert labels == {"a (sha256:111111111111)", "a (sha256:222222222222)", "b (seed 0)", "b (seed 1)"}


def test_runs_of_one_subject_are_one_row_however_the_model_came_in(runs) -> None:
    tensors = {"subject": "sha256:" + "5" * 64}
    days = [f"2024-0{month}-01T00:00:00+00:00" for month in (1, 2, 3)]
    old = runs.write("a", {"pgd-20": {1: E1}}, sha256="f" * 64, finished=days[0])  # told its weights file alone
    file = runs.write("a", {"pgd-20": {1: E1}}, sha256="f" * 64, finished=days[1], info=tensors)
    notebook = runs.write("a", {"pgd-20": {1: E1}}, sha256="state:" + "0" * 64, finished=days[2], info=tensors)
    runs.write("a", {}, sha256="f" * 63 + "e", finished=days[0])
    (table,) = tables(runs)
    assert sorted(row.run for row in table.rows if row.run == notebook.name) == [notebook.name]
    assert len(table.rows) == 2
    assert {other.run: other.reason for other in table.others} == {old.name: "older", file.name: "older"}


def test_rows_rank_on_the_largest_epsilon_complete_in_all_complete_runs(runs) -> None:
    runs.write("strong", {}, n=40)
    runs.write("weak", {"pgd-20": dict.fromkeys(range(40), E8)}, n=40)
    (table,) = tables(runs)
    assert table.ranking.epsilon_label == E8
    assert [(row.model, row.rank) for row in table.rows] == [("strong", (1, 1)), ("weak", (2, 2))]

    runs.write("gap", {"pgd-20": dict.fromkeys(range(30), E1)}, n=40, without=[("pgd-20", E8)], status="interrupted")
    (table,) = tables(runs)
    assert table.ranking.epsilon_label == E8, "a run that stopped early moves the cell for nobody"
    ranks = {row.model: row.rank for row in table.rows}
    assert ranks == {"strong": (1, 1), "weak": (2, 2), "gap": None}
    assert "the largest epsilon complete in all rows that are complete" in ranking_text(table)


def test_where_no_run_is_complete_rows_rank_on_what_all_have(runs) -> None:
    early = {"n": 40, "status": "interrupted"}
    runs.write("strong", {}, **early)
    runs.write("gap", {"pgd-20": dict.fromkeys(range(30), E1)}, without=[("pgd-20", E8)], **early)
    (table,) = tables(runs)
    assert table.ranking.epsilon_label == E1
    assert [(row.model, row.rank) for row in table.rows] == [("strong", (1, 1)), ("gap", (2, 2))]


def test_a_row_without_any_number_is_not_ranked_and_holds_nobody_back(runs) -> None:
    runs.write("strong", {}, n=40)
    runs.write("weak", {"pgd-20": dict.fromkeys(range(40), E8)}, n=40)
    runs.write("nothing", {}, n=40, without=[("pgd-20", E1), ("pgd-20", E8)], status="interrupted")
    (table,) = tables(runs)
    assert (table.ranking.epsilon_label, table.ranking.rows) == (E8, 2)
    assert [(row.model, row.rank) for row in table.rows] == [("strong", (1, 1)), ("weak", (2, 2)), ("nothing", None)]


def test_card_and_findings_reach_the_row(runs) -> None:
    card = {"defense": "trades", "architecture": "resnet18", "trained_for": {"norm": "linf", "epsilon": "3/255"}}
    runs.write("a", {}, card=card, findings=[{"check": "P5", "level": "warn", "message": "look"}])
    (row,) = tables(runs)[0].rows
    assert (row.defense, row.trained_for, row.findings[0].message) == ("trades", "linf 3/255", "look")
    assert (row.forwards, row.backwards) == (2 * 20 * 20, 2 * 20 * 19)


def test_folders_that_were_moved_give_the_same_table(runs, tmp_path) -> None:
    folder = runs.write("a", {})
    before = tables(runs)
    moved = tmp_path / "elsewhere"
    runs.folder.rename(moved)
    assert make_tables(collect([moved / folder.name])) == before
    assert str(tmp_path) not in json.dumps([row.run for row in before[0].rows])


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, 12.5),
        ({"reused": 0, "compute": [1.5, 40]}, 41.5),
        ({"reused": 1, "compute": [1.5, 40]}, 41.5),
        ({"reused": 1, "compute": [1.5, None]}, None),
        ({"reused": 0, "compute": [1.5, None]}, 12.5),
        ({"reused": 1}, None),
    ],
)
def test_seconds_are_those_of_all_units_whoever_computed_them(runs, changes, seconds) -> None:
    store = RunStore(runs.write("a"))
    info = store.read_json("run.json") | changes
    if "compute" in changes:
        rest = dict.fromkeys(("peak_memory", "useful", "backwards", "unconfirmed", "again"))
        info["compute"] = [
            {"attack": "pgd-20", "epsilon_label": label, "units": 1, "seconds": spent, **rest}
            for label, spent in zip(("1/255", "8/255"), changes["compute"], strict=True)
        ]
    store.write_json("run.json", info)
    told, facts = store.read_info(), store.all_facts()
    store.write_json("summary.json", summarize(told, facts, *verdict(told, facts)))
    (table,) = make_tables(collect([runs.folder]))
    assert table.rows[0].seconds == seconds
    for text in (markdown.render([table]), latex.render([table], ["seconds"]), csv.render([table])):
        assert ("12.5" in text or "41.5" in text) == (seconds is not None)
    assert ("An unknown number of seconds" in page.render([table])) == (seconds is None)


def test_of_tables_with_as_many_models_linf_comes_first(runs) -> None:
    for name in ("a", "b"):
        runs.write(name, {})
        runs.write(name, {}, norm="l2", attacks=[runs.attack("pgd-20", steps=20), runs.attack("fgm", tool="art")])
    first, second = sorted(tables(runs), key=lambda table: table.prominence, reverse=True)
    assert (first.norm, second.norm) == ("linf", "l2")
    assert len({column.tool for column in second.attacks}) > len({column.tool for column in first.attacks})
