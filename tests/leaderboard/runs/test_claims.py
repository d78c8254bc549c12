"""What a published file says of itself is a claim until a board of the reader lists it."""

from __future__ import annotations

from dataclasses import replace

from publishing import files, forge, judge, rows_of

from leaderboard import wording
from leaderboard.cli import leaderboard, plot
from leaderboard.compare.cli import compare, gate
from leaderboard.runs.board import listed_as, read_board, write_board
from leaderboard.runs.collect import collect
from leaderboard.runs.published import ENDING
from leaderboard.tables.tables import make_tables

E1, E8 = "1/255", "8/255"


def test_a_forged_file_is_a_claim_whatever_it_says_of_itself(published) -> None:
    honest = rows_of(published)
    assert {row[1] for row in honest.values()} == {"replayed 5"}
    forge(files(published)[0], model={"name": "best", "sha256": "sha256:" + "f" * 64})
    assert rows_of(published) == {**honest, "best (claim)": (None, "claimed", None)}
    ranked = rows_of(published, claims=True)
    assert ranked["best (claim)"][0][0] == 1
    assert ranked["best (claim)"][1:] == ("claimed", None)


def test_a_newer_claim_takes_no_row(published) -> None:
    honest = rows_of(published)
    forge(files(published)[0], finished="2030-01-01T00:00:00+00:00")
    assert rows_of(published, claims=True) == honest
    (table,) = make_tables(collect([published]))
    assert [(other.run, other.reason) for other in table.others] == [("x", "a claim")]
    assert "are not ranked" not in wording.ranking_text(table)


def test_a_listed_file_that_was_edited_is_a_claim(published) -> None:
    path = files(published)[0]
    path.write_text(path.read_text(encoding="utf-8").replace('"odd"', '"even"') + " ", encoding="utf-8")
    assert sum(verdict == "claimed" for _, verdict, _ in rows_of(published).values()) == 1
    (table,) = make_tables(collect([published]))
    assert "Claims, which no board lists" in wording.ranking_text(table)


def test_line_endings_of_a_checkout_change_no_verdict(published) -> None:
    honest = rows_of(published)
    for path in files(published):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert rows_of(published) == honest


def test_what_was_not_verified_here_is_published_as_a_claim(runs, published, tmp_path, call, capsys) -> None:
    before = {path: path.read_bytes() for path in published.iterdir()}
    forge(files(published)[0], finished="2030-01-01T00:00:00+00:00", name="y")
    submitted = tmp_path / "submitted"
    submitted.mkdir()
    (published / f"x{ENDING}").rename(submitted / f"x{ENDING}")
    newer = runs.write("b", attacks=[runs.attack("fgsm", iterative=False), runs.attack("pgd-20", steps=20)], n=60)
    assert call(leaderboard, submitted, newer, "--publish", published, "--pictures", "0") == 0
    assert capsys.readouterr().err.count("published as a claim") == 2
    assert {path: path.read_bytes() for path in before} == before
    assert rows_of(published)["b (claim)"][:2] == (None, "claimed")


def test_gate_and_compare_know_a_claim(runs, published, tmp_path, call, capsys) -> None:
    mine = next(path for path in runs.folder.iterdir() if path.name.startswith("a2s"))
    baseline = tmp_path / "baseline"
    baseline.mkdir()
    path = next(path for path in files(published) if path.name.startswith("a2s"))
    (baseline / path.name).write_bytes(path.read_bytes())
    assert call(gate, mine, "--require", f"no-regression:{baseline}") == 1
    assert "has only claims and refuted runs of a2s" in capsys.readouterr().out
    assert call(gate, baseline, "--require", "clean>=0") == 1
    assert "it is a claim: no board.toml that is believed here lists the file" in capsys.readouterr().out
    assert call(compare, "a2s", "standard", baseline, *[run for run in runs.folder.iterdir() if run != mine]) == 0
    assert "a2s (claim)" in capsys.readouterr().out


def test_a_refuted_run_is_neither_ranked_nor_in_the_way(runs, tmp_path, call, capsys) -> None:
    attacks = {"attacks": [runs.attack("pgd-20", steps=20)], "n": 60}
    judge(runs.write("a", {"pgd-20": dict.fromkeys(range(30), E1)}, **attacks))
    judge(runs.write("a", finished="2030-01-01T00:00:00+00:00", **attacks), "no")
    judge(runs.write("b", **attacks), "no")
    runs.write("c", **attacks)
    assert {label: row[:2] for label, row in rows_of(runs.folder).items()} == {
        "c": ((1, 1), "not verified"), "a": ((2, 2), "replayed 5"), "b": (None, "no")
    }  # fmt: skip
    (table,) = make_tables(collect([runs.folder]))
    assert [(other.label, other.reason) for other in table.others] == [("a", "refuted by verification")]
    assert call(leaderboard, runs.folder, "--verified-only", "--format", "csv") == 0
    told = capsys.readouterr()
    assert {line.split(",")[10] for line in told.out.splitlines()[1:]} == {"a"}
    assert "left out, for their survivors were not attacked again: 3 of 4 runs" in told.err
    assert call(leaderboard, runs.folder, "--publish", tmp_path / "out", "--pictures", "0") == 3
    assert "not published, for verification refuted it" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("b-*"))


def test_a_newer_run_that_nobody_verified_does_not_displace_the_verified_one(runs) -> None:
    judge(runs.write("a", {"pgd-20": dict.fromkeys(range(10), E1)}))
    newer = runs.write("a", finished="2030-01-01T00:00:00+00:00")
    (table,) = make_tables(collect([runs.folder]))
    assert [(row.verified, row.worst[-1].correct) for row in table.rows] == [("replayed 5", 10)]
    assert [(other.run, other.reason) for other in table.others] == [(newer.name, "not verified")]


def test_breaks_alone_bound_nothing_from_below(runs, tmp_path, call, capsys) -> None:
    """A run that hides every break has none to prove: it takes no row, no board and no place among the verified."""
    honest = judge(runs.write("a", {"pgd-20": dict.fromkeys(range(10), E1)}))
    hidden = judge(runs.write("a", finished="2030-01-01T00:00:00+00:00"), "breaks verified")
    judge(runs.write("b"), "breaks verified")
    (table,) = make_tables(collect([runs.folder]))
    assert {row.label: row.run for row in table.rows}["a"] == honest.name
    assert [(other.run, other.reason) for other in table.others] == [(hidden.name, "not replayed")]
    assert call(leaderboard, runs.folder, "--verified-only", "--format", "csv") == 0
    assert {line.split(",")[10] for line in capsys.readouterr().out.splitlines()[1:]} == {"a"}
    assert call(leaderboard, runs.folder, "--publish", tmp_path / "out", "--pictures", "0") == 0
    assert "published as a claim, for it was not replayed here" in capsys.readouterr().err
    assert {entry.file.split("-")[0] for entry in read_board(tmp_path / "out").values()} == {"a"}


def test_a_board_that_came_with_a_submission_is_not_believed(runs, published, tmp_path, call, capsys) -> None:
    """A forged file with a board of its own that calls it replayed: beside an honest run, alone, and published."""
    submitted = tmp_path / "submitted"
    submitted.mkdir()
    forged = forge(files(published)[0], model={"name": "best", "sha256": "sha256:" + "f" * 64})
    forged = forged.rename(submitted / forged.name)
    record = collect([submitted])[0]
    entry = listed_as(forged.name, forged.read_bytes(), replace(record, verified="replayed 5000"))
    write_board(submitted, [entry])
    honest = rows_of(published)
    assert rows_of(submitted)["best"][:2] == ((1, 1), "replayed 5000"), (
        "a board that is read alone is its keeper's word"
    )
    assert rows_of(*runs.folder.iterdir(), submitted)["best (claim)"] == (None, "claimed", None)
    assert call(leaderboard, runs.folder, submitted, "--pictures", "0") == 0
    assert f"claims, for the board in {submitted} is not believed here" in capsys.readouterr().err
    assert call(leaderboard, submitted, "--publish", published, "--pictures", "0") == 0
    assert "published as a claim" in capsys.readouterr().err
    assert rows_of(published) == {**honest, "best (claim)": (None, "claimed", None)}
    (published / f"{record.folder.name}{ENDING}").unlink()

    run = next(iter(runs.folder.iterdir()))
    run.rename(submitted / run.name)  # an honest run that verifies, with the forged file beside it
    assert rows_of(submitted)["best (claim)"] == (None, "claimed", None)
    assert call(leaderboard, submitted, published, "--board", published, "--format", "csv") == 0
    told = {(line.split(",")[10], ",claimed," in line) for line in capsys.readouterr().out.splitlines()[1:]}
    assert told == {("a2s", False), ("standard", False), ("best", True)}


def test_gate_compare_and_plot_believe_the_board_they_are_told(runs, published, call, tmp_path, capsys) -> None:
    other = runs.write("other", {}, attacks=[runs.attack("fgsm", iterative=False), runs.attack("pgd-20")], n=60)
    words = ("--require", "clean>=0.5", "--allow", "P8", published, other)
    assert call(gate, *words) == 1
    told = capsys.readouterr()
    assert "it is a claim" in told.out
    assert f"claims, for the board in {published} is not believed here: see --board" in told.err
    assert call(gate, *words, "--board", published) == 0
    assert "claim" not in capsys.readouterr().out
    run = next(path for path in runs.folder.iterdir() if path.name.startswith("a2s-"))
    assert call(gate, "--require", f"no-regression:{published}", run, "--board", tmp_path) == 0  # alone, so believed
    capsys.readouterr()
    assert call(compare, "a2s", "standard", published, other) == 0
    assert "is not believed here" in capsys.readouterr().err
    assert call(compare, "a2s", "standard", published, other, "--board", published) == 0
    assert "is not believed here" not in capsys.readouterr().err
    assert call(plot, published, other, "--board", published, "-o", tmp_path / "curves.svg") == 0
    assert "claim" not in (tmp_path / "curves.svg").read_text(encoding="utf-8")


def test_a_table_of_another_suite_or_slice_than_the_boards_says_so(runs, published) -> None:
    attacks = [runs.attack("fgsm", iterative=False), runs.attack("pgd-20", steps=20, step_size="epsilon/1000")]
    edited = runs.write("a", attacks=attacks, n=60, suite="fgsm-pgd@1")
    other = runs.write("a", attacks=[attacks[0]], n=60)
    easy = runs.write("a", attacks=[attacks[0], runs.attack("pgd-20")], n=60, slice_="sha256:" + "b" * 64)
    mine = runs.write("a", attacks=[attacks[0], runs.attack("pgd-20")], n=60)
    found = make_tables(collect([published, edited, other, easy, mine], boards=[published]))
    outside = {row.run: "Outside the board" in wording.holds_text(table) for table in found for row in table.rows}
    assert {name: outside[run.name] for name, run in {"e": edited, "o": other, "s": easy, "m": mine}.items()} == {
        "e": True, "o": True, "s": True, "m": False
    }  # fmt: skip
    assert not any(table.outside for table in make_tables(collect([edited, other, easy, mine])))
