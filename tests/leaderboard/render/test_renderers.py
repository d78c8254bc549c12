"""CSV, JSON and LaTeX say the same numbers as the table, and survive hostile names."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from importlib.resources import files

import jsonschema
import pytest

from harness.errors import UnknownName, UsageError
from leaderboard import cli
from leaderboard.render import csv as csv_file
from leaderboard.render import json as json_file
from leaderboard.render import latex
from leaderboard.render.latex_columns import columns_of, width
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


def cells_of(text: str) -> tuple[str, list[list[str]]]:
    """The alignment of a LaTeX table, and the cells of its body."""
    columns = re.search(r"\\begin\{tabular\}\{(.*)\}", text)
    assert columns
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")].splitlines()[1:]
    lines = [line.removesuffix("[2pt]").removesuffix(r"\\") for line in body]
    return columns[1], [[cell.strip() for cell in line.split("&")] for line in lines]


def test_latex_shows_rank_clean_and_worst_with_the_intervals_below(tables) -> None:
    align, body = cells_of(latex.render(tables))
    assert align == "rlrrr", "the ranking epsilon is 8/255, and 1/255 before it"
    assert body == [
        ["1", "a", "100.0", "95.0", "90.0"],
        ["", "", r"\tiny [83.9, 100.0]", r"\tiny [76.4, 99.1]", r"\tiny [69.9, 97.2]"],
        [r"\textendash{}", "b", "100.0", "100.0", "missing"],
        ["", "", r"\tiny [83.9, 100.0]", r"\tiny [83.9, 100.0]", ""],
    ]


def test_latex_has_every_column_that_is_asked_for(tables) -> None:
    align, body = cells_of(latex.render(tables, ["all"], intervals=False))
    assert align == "rlllr" + "r" * 6 + "rrrllll"
    assert [len(cells) for cells in body] == [len(align)] * 2
    assert "missing" in body[1]
    align, body = cells_of(latex.render(tables, ["model", "pgd-20@8/255", "grade", "model"], intervals=False))
    assert (align, [cells[:2] for cells in body]) == ("lrl", [["a", "90.0"], ["b", "missing"]])
    with pytest.raises(UnknownName, match="unknown column 'pgd-2'; did you mean 'pgd-20'"):
        latex.render(tables, ["model", "pgd-2"])
    with pytest.raises(UnknownName, match="unknown column 'pgd-20@3/255'"):
        latex.render(tables, ["pgd-20@3/255"])


def test_latex_of_a_long_grid_has_the_three_epsilons_up_to_the_ranking_one(runs) -> None:
    grid = ["1/255", "2/255", "4/255", "8/255", "16/255"]
    runs.write("a", {}, grid=grid)
    runs.write("b", {}, grid=grid, without=[("pgd-20", "16/255")], status="interrupted")
    text = latex.render(make_tables(collect([runs.folder])))
    assert "rank & model & clean & 4/255 & 8/255 & 16/255 " in text


def test_latex_takes_two_columns_of_the_page_only_where_one_is_too_narrow(runs) -> None:
    grid = ["1/255", "2/255", "4/255", "8/255"]
    runs.write("standard", {}, grid=grid)
    tables = make_tables(collect([runs.folder]))
    assert r"\begin{table}" in latex.render(tables)
    assert r"\begin{table*}" in latex.render(tables, ["all"])
    runs.write("w" * 60, {}, grid=grid)
    assert r"\begin{table*}" in latex.render(make_tables(collect([runs.folder])))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
def test_the_width_is_that_of_latex(tables, tmp_path) -> None:
    for names in (["rank", "model", "clean", "worst"], ["all"], ["model", "worst@8/255"], ["fwd", "attacks"]):
        for intervals in (True, False):
            text = latex.render(tables, names, intervals)
            tabular = text[text.index(r"\begin{tabular}") : text.index(r"\end{table")]
            size = r"\scriptsize\setlength{\tabcolsep}{3pt}"
            measure = rf"{size}\setbox0=\hbox{{{tabular}}}\typeout{{WIDTH \the\wd0}}"
            head = r"\documentclass{article}\usepackage{booktabs}\usepackage[T1]{fontenc}\begin{document}"
            (tmp_path / "x.tex").write_text(f"{head}\n{measure}\n\\end{{document}}")
            told = subprocess.run(
                ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "x.tex"],
                cwd=tmp_path, capture_output=True, text=True, check=True,
            ).stdout  # fmt: skip
            measured = float(re.search(r"WIDTH ([\d.]+)pt", told)[1])
            estimate = width(tables[0], columns_of(tables[0], names), intervals)
            assert 0.97 * measured <= estimate <= 1.15 * measured


def test_the_options_of_latex_are_refused_elsewhere(tables, runs, call, capsys) -> None:
    words = (runs.folder, "--format", "latex", "--columns", "model, worst@8/255", "--no-intervals")
    assert call(cli.leaderboard, *words) == 0
    out = capsys.readouterr().out
    assert cells_of(out) == ("lr", [["a", "90.0"], ["b", "missing"]])
    assert "Wilson" not in out
    assert call(cli.leaderboard, runs.folder, "--format", "latex", "--attack", "fgsm") == 0
    assert "rank & model & clean & 1/255 & 8/255 " in (out := capsys.readouterr().out)
    assert r"\multicolumn{2}{c}{fgsm}" in out
    with pytest.raises(UsageError, match="are for --format latex, not csv"):
        call(cli.leaderboard, runs.folder, "--format", "csv", "--no-intervals")
    with pytest.raises(UsageError, match="has a name that is empty"):
        call(cli.leaderboard, runs.folder, "--format", "latex", "--columns", "model,")


def test_a_row_with_errors_is_marked(runs) -> None:
    runs.write("m", {}, findings=[{"check": "P7", "level": "error", "message": "gradients are zero"}])
    runs.write("sound", {}, findings=[{"check": "P5", "level": "warn", "message": "noise"}])
    tables = make_tables(collect([runs.folder]))
    text = latex.render(tables)
    assert r"m \dag{} &" in text
    assert r"\dag{} findings of level error, so that these figures are not to be trusted: m (P7)." in text
    assert text.count(r"\dag{}") == 2
    lines = list(csv.DictReader(io.StringIO(csv_file.render(tables))))
    assert {(line["model"], line["errors"]) for line in lines} == {("m", "P7"), ("sound", "")}


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
    assert rows.count("&") == 2 * (2 + 1 + 2 - 1)


def test_latex_prints_every_special_character_as_itself() -> None:
    assert latex.escape("a_b & 5% {x} ~^\\") == (
        r"a\_b \& 5\% \{x\} \textasciitilde{}\textasciicircum{}\textbackslash{}"
    )
    assert latex.escape("a---b") == "a-{}-{}-b"
