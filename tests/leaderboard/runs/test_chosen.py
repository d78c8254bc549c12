"""Runs and attacks are chosen in the words that ``eval`` takes, and alike in every command."""

from __future__ import annotations

import csv
import io
import json

import pytest

from harness.errors import UnknownName, UsageError
from leaderboard import cli
from leaderboard.compare.cli import compare
from leaderboard.runs.chosen import Filter, data_names, select
from leaderboard.runs.collect import collect

E1, E8 = "1/255", "8/255"


@pytest.fixture
def records(runs):
    runs.write("a", data="gtsrb-test")
    runs.write("b", data="folder-pets-test", n=10)
    runs.write("c", data="signs", suite="fgsm@2")
    return collect([runs.folder])


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        (Filter(), "abc"),
        (Filter(data="gtsrb"), "a"),
        (Filter(data="gtsrb-test"), "a"),
        (Filter(data="folder:some/where/pets?size=32"), "b"),
        (Filter(data="folder:some/where/pets/"), "b"),
        (Filter(n=20), "ac"),
        (Filter(suite="fgsm"), "c"),
        (Filter(suite="fgsm@2"), "c"),
        (Filter(suite="pgd", n=10, mode="observed"), "b"),
    ],
)
def test_a_filter_keeps_what_it_names(records, wanted: Filter, kept: str) -> None:
    assert "".join(sorted(record.info.model.name for record in select(records, wanted))) == kept


def test_files_are_named_as_their_data_sets_name_them() -> None:
    assert "arrays-images-test" in data_names("dir/images.npz")
    assert "arrays-images-test" in data_names("dir/images.npy,dir/labels.npy")
    assert "csv-list-test" in data_names("csv:dir/list.csv?label=1")
    assert "hf-v1.2-test" in data_names("hf:dir/v1.2")


def test_a_suite_file_is_its_name_and_version(records, tmp_path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'name = "fgsm"\nversion = 2\nnorm = "linf"\nepsilons = ["1/255"]\n'
        '[[attack]]\nid = "x"\ntool = "torchattacks"\nmethod = "fgsm"\n',
        encoding="utf-8",
    )
    assert [record.info.model.name for record in select(records, Filter(suite=str(file)))] == ["c"]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Filter(suite="nosuch"), r"no run fits --suite nosuch; .* have fgsm@2, pgd@1"),
        (Filter(suite="fgsm@1"), "no run fits --suite fgsm@1"),
        (Filter(suite="pgd", data="signs"), r"no run fits --data signs; .* have folder-pets-test, gtsrb-test"),
        (Filter(n=30), "no run fits --n 30; .* have 10, 20"),
        (Filter(mode="faithful"), "no run fits --mode faithful"),
    ],
)
def test_what_fits_nothing_says_what_there_is(records, wanted: Filter, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        select(records, wanted)


@pytest.fixture
def two(runs):
    attacks = [runs.attack("fgsm", iterative=False), runs.attack("pgd-20", steps=20)]
    for n in (10, 20):
        runs.write("a", {"fgsm": {0: E8}, "pgd-20": {0: E1, 1: E8}}, attacks=attacks, n=n)
        runs.write("b", {"fgsm": {}, "pgd-20": {2: E8}}, attacks=attacks, n=n)
    return runs


def test_the_leaderboard_shows_the_attacks_asked_for_and_ranks_on_all(two, call, capsys) -> None:
    words = (two.folder, "--format", "csv", "--n", 20)
    assert call(cli.leaderboard, *words) == 0
    whole = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert call(cli.leaderboard, *words, "--attack", "fgsm") == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {line["n"] for line in lines} == {"20"}
    assert lines == [line for line in whole if line["attack"] != "pgd-20"]


def test_the_cost_of_attacks_that_are_not_shown_counts(two, call, capsys) -> None:
    assert call(cli.leaderboard, two.folder, "--n", 20) == 0
    whole = capsys.readouterr().out
    assert call(cli.leaderboard, two.folder, "--n", 20, "--attack", "worst") == 0
    few = capsys.readouterr().out
    costs = [line.rsplit("|", 4)[1:3] for line in whole.splitlines() if "torch 2.11.0" in line]
    assert costs
    assert costs == [line.rsplit("|", 4)[1:3] for line in few.splitlines() if "torch 2.11.0" in line]
    assert "pgd-20 8/255" not in few
    assert "worst case 8/255" in few


def test_compare_takes_the_same_options(two, call, capsys) -> None:
    assert call(compare, "a", "b", two.folder, "--n", 20, "--attack", "pgd-20", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)["data"]["comparisons"]
    assert found["n"] == 20
    assert [(cell["attack"], cell["epsilon_label"]) for cell in found["cells"]] == [
        ("clean", "0"), ("pgd-20", E1), ("pgd-20", E8),
    ]  # fmt: skip


@pytest.mark.parametrize("command", [cli.leaderboard, cli.plot, compare])
def test_an_attack_that_no_run_has_is_refused(two, call, command) -> None:
    names = ("a", "b") if command is compare else ()
    with pytest.raises(UnknownName, match="unknown attack 'pgd-2'"):
        call(command, *names, two.folder, "--n", 20, "--attack", "pgd-2")


def test_plot_takes_n(two, call, tmp_path) -> None:
    with pytest.raises(UsageError, match=r"2 tables fit.*--n"):
        call(cli.plot, two.folder, "-o", tmp_path / "x.svg")
    assert call(cli.plot, two.folder, "--n", 10, "-o", tmp_path / "x.svg") == 0
