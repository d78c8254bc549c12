"""CSV, JSON and LaTeX say the same numbers as the table, and survive hostile names."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from importlib.resources import files

import jsonschema
import pytest

from leaderboard.render import csv as csv_file
from leaderboard.render import json as json_file
from leaderboard.render import latex
from leaderboard.rows import Table
from leaderboard.runs.collect import collect
from leaderboard.tables.tables import make_tables

E1, E8 = "1/255", "8/255"
HOSTILE = [
    "=cmd|' /C calc'!A0",
    'a,b"c"\nd',
    "\\input{x} $ & # _ % ~ ^ { } < > | --- ''",
    "\u202e\x00\ud800",
    "-x",
    "@x",
]


@pytest.fixture
def tables(runs) -> Sequence[Table]:
    attacks = [runs.attack("fgsm", iterative=False), runs.attack("pgd-20", steps=20)]
    card = {"defense": "trades", "trained_for": {"norm": "linf", "epsilon": "3/255"}}
    runs.write("a", {"pgd-20": {0: E1, 1: E8}}, attacks=attacks, card=card)
    runs.write("b", {"fgsm": {0: E8}}, attacks=attacks, without=[("pgd-20", E8)], status="interrupted")
    return make_tables(collect([runs.folder]))


def test_csv_has_a_line_for_every_number_and_an_empty_field_where_there_is_none(tables) -> None:
    lines = list(csv.DictReader(io.StringIO(csv_file.render(tables))))
    assert len(lines) == 2 * (1 + 4 + 2)
    found = {(line["model"], line["attack"], line["epsilon_label"]): line for line in lines}
    assert len(found) == len(lines)
    for row in tables[0].rows:
        for score in (row.clean, *row.cells, *row.worst):
            line = found[row.model, score.attack, score.epsilon_label]
            assert line["status"] == score.status
            assert (float(line["accuracy"]) if line["accuracy"] else None) == score.accuracy, "unrounded"
            assert float(line["epsilon"]) == score.epsilon
            assert bool(line["ci95_low"]) == (score.status == "ok")
    assert found["b", "pgd-20", E8]["accuracy"] == ""
    assert (found["a", "pgd-20", E8]["tool_version"], found["a", "worst", E8]["forwards"]) == ("3.5.1", "")


def test_json_fits_the_schema_of_the_envelope(tables) -> None:
    schema = json.loads(files("harness").joinpath("schemas/envelope.json").read_text(encoding="utf-8"))
    jsonschema.validate(json.loads(json_file.render(tables)), schema)


def test_json_is_the_envelope_with_nulls_where_there_is_no_number(tables) -> None:
    found = json.loads(json_file.render(tables))
    assert (found["schema"], found["command"], found["ok"], found["findings"]) == (1, "leaderboard", True, [])
    (table,) = found["data"]["tables"]
    row = {row["model"]: row for row in table["rows"]}
    cell = {(c["attack"], c["epsilon_label"]): c for c in row["a"]["cells"]}["pgd-20", E8]
    assert (cell["correct"], cell["accuracy"], cell["n"]) == (18, 0.9, 20)
    missing = {(c["attack"], c["epsilon_label"]): c for c in row["b"]["cells"]}["pgd-20", E8]
    assert (missing["status"], missing["correct"], missing["accuracy"], missing["ci95"]) == (
        "missing",
        None,
        None,
        None,
    )
    assert table["ranking"] == {"epsilon_label": E8, "rows": 1, "alpha": 0.05}


def test_latex_has_as_many_cells_as_columns(tables) -> None:
    text = latex.render(tables)
    columns = re.search(r"\\begin\{tabular\}\{(.*)\}", text)
    assert columns
    assert columns[1] == "rlllr" + "r" * 6 + "rrrlll"
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")].splitlines()[1:]
    assert [line.count(" & ") for line in body] == [len(columns[1]) - 1] * 2
    assert [line.split(" & ")[:2] for line in body] == [["1", "a"], [r"\textendash{}", "b"]]
    assert sum("90.0 [69.9, 97.2]" in line for line in body) == 1
    assert " & missing & " in text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(runs, name: str) -> None:
    runs.write(name, {}, card={"defense": name, "trained_for": {"norm": name}})
    tables = make_tables(collect([runs.folder]))

    lines = list(csv.DictReader(io.StringIO(csv_file.render(tables))))
    assert len(lines) == 1 + 2 + 2
    assert not any(value.startswith(("=", "+", "-", "@")) for line in lines for value in line.values())

    assert json.loads(json_file.render(tables))["data"]["tables"][0]["rows"][0]["model"] == name
    assert json_file.render(tables).isascii()

    bare = re.sub(r"\\([&%$#_{}])", "", latex.render(tables).partition("\n")[2])
    assert bare.count("{") == bare.count("}")
    assert "$" not in bare
    assert "#" not in bare
    assert r"\input" not in bare
    rows = bare[bare.index(r"\midrule") : bare.index(r"\bottomrule")]
    assert rows.count("&") == 5 + 2 + 6 - 1


def test_latex_prints_every_special_character_as_itself() -> None:
    assert latex.escape("a_b & 5% {x} ~^\\") == (
        r"a\_b \& 5\% \{x\} \textasciitilde{}\textasciicircum{}\textbackslash{}"
    )
    assert latex.escape("a---b") == "a-{}-{}-b"
