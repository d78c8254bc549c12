"""Estimates from any number of prefixes, sample by sample."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from harness.base.estimates import Factor, join
from harness.base.threat import Epsilon
from harness.errors import BadRun
from leaderboard import site
from leaderboard.compare import recipes
from leaderboard.compare.cli import gate
from leaderboard.compare.models import as_data, compare
from leaderboard.figures.choose import figure
from leaderboard.render import csv as csv_file
from leaderboard.render import latex, markdown
from leaderboard.render.html import page
from leaderboard.rows import WORST
from leaderboard.runs.collect import collect
from leaderboard.runs.estimated import Group, estimated
from leaderboard.tables.joining import with_joined
from leaderboard.tables.tables import make_tables

GRID = (Epsilon(4 / 255, "4/255"),)


def group(name: str, rows, fallen) -> Group:
    rows = np.array(rows)
    return Group((name,), rows, [~np.isin(rows, list(fallen))])


def test_a_chain_of_three_by_hand() -> None:
    """Of 20 samples 8 fall to the first; of 6 left among 10, 2 to the next; of 2 left among 5, 1 to the last."""
    first = group("a", range(20), [0, 1, 6, 7, 16, 17, 18, 19])
    second = group("b", [9, 8, 7, 6, 5, 4, 3, 2, 1, 0], [2, 9, 0])  # 0 had fallen before
    third = group("c", range(5), [3, 2])  # 2 had fallen before
    scores, stages = estimated(GRID, [first, second, third])
    estimate = scores[WORST, "4/255"].estimate
    assert [(part.n, part.kept, part.drawn) for part in estimate.factors] == [(20, 12, 20), (10, 4, 6), (5, 1, 2)]
    expected = join(Factor(12, 20), [Factor(4, 6), Factor(1, 2)])
    assert (estimate.accuracy, estimate.ci95) == (pytest.approx(expected.accuracy), expected.interval)
    assert stages["4/255"].depth.tolist() == [3] * 5 + [2] * 5 + [1] * 10
    assert stages["4/255"].passed.tolist() == [0, 0, 1, 2, 3, 2, 0, 0, 2, 1] + [1] * 6 + [0] * 4


def test_one_group_is_a_complete_run() -> None:
    scores, _ = estimated(GRID, [group("a", range(40), range(10))])
    assert scores[WORST, "4/255"].ci95 == join(Factor(30, 40)).interval


@pytest.fixture
def measured(runs):
    """Of 40 samples PGD breaks 16, 6 of them among the first 16, of whom the dear attack breaks 2 more at 8/255."""
    dear = runs.attack("aa", tool="autoattack") | {
        "method": "standard", "components": ["apgd-ce", "apgd-t", "fab-t", "square"], "n": 16, "chunk": 8,
    }  # fmt: skip
    attacks = [runs.attack("pgd-20"), dear]
    pgd = dict.fromkeys([*range(6), *range(20, 30)], "4/255")
    for model, more in (("a", 2), ("b", 5)):
        falls = {"pgd-20": pgd, "aa": dict.fromkeys(range(6, 6 + more), "8/255")}
        runs.write(model, falls, n=40, grid=("4/255", "8/255"), attacks=attacks, suite="both@1")
    return runs


def test_a_run_s_own_estimates_are_those_of_its_summary(measured) -> None:
    for record in collect([measured.folder]):
        summary = json.loads((record.folder / "summary.json").read_text(encoding="utf-8"))
        for row in summary["worst_case"]:
            score = record.scores[WORST, row["epsilon_label"]]
            assert (score.status, score.accuracy, list(score.ci95)) == (
                row["status"], row["robust_accuracy"], row["ci95"],
            )  # fmt: skip
            estimate = score.estimate
            assert list(estimate.of_slice) == row["ci95_of_slice"]
            assert estimate.lowered == row["lowered"]
            assert [{**asdict(part), "attacks": list(part.attacks)} for part in estimate.factors] == row["factors"]
        assert record.complete
    a = next(record for record in collect([measured.folder]) if record.info.model.name == "a")
    assert [(p.n, p.kept, p.drawn) for p in a.scores[WORST, "8/255"].estimate.factors] == [(40, 24, 40), (16, 8, 10)]
    assert (a.scores["aa", "8/255"].n, a.scores["aa", "8/255"].correct) == (16, 14), "its plain count on its own n"


def test_tables_and_comparisons_know_them(measured) -> None:
    (table,) = make_tables(with_joined(collect([measured.folder])))
    assert (table.autoattack, table.joined, [c.n for c in table.attacks]) == (True, None, [None, 16])
    text = markdown.render([table])
    assert "aa (first 16) 8/255" in text
    assert "| a | 8/255 | 24 of 40 x 8 of 10 | 48.0 \\[" in text
    (found,) = as_data(compare(collect([measured.folder]), "a", "b"))
    cells = {(cell["attack"], cell["epsilon_label"]): cell for cell in found["cells"]}
    assert cells["aa", "8/255"]["difference"] == 3 / 16
    assert [sample["sample_id"] for sample in cells["aa", "8/255"]["only_a"]] == [8, 9, 10]
    assert cells["worst", "8/255"]["difference"] == pytest.approx(0.6 * 0.3)


def test_rows_on_different_prefixes_share_a_table_that_says_so(measured) -> None:
    """Of c the dear attack went on to 24 samples, of which it breaks 2 more of the 18 that stand."""
    dear = measured.attack("aa", tool="autoattack") | {
        "method": "standard", "components": ["apgd-ce", "apgd-t", "fab-t", "square"], "n": 16, "chunk": 8,
    }  # fmt: skip
    pgd = dict.fromkeys([*range(6), *range(24, 34)], "4/255")
    falls = {"pgd-20": pgd, "aa": dict.fromkeys((6, 20), "8/255")}
    attacks = [measured.attack("pgd-20"), dear]
    measured.write("c", falls, n=40, grid=("4/255", "8/255"), attacks=attacks, suite="both@1", reached={"aa": 24})
    tables = make_tables(collect([measured.folder]))
    (table,) = tables
    assert [(column.n, column.most) for column in table.attacks] == [(None, None), (16, 24)]
    text = markdown.render(tables)
    assert "aa (first 16 to 24) 8/255" in text
    assert "that aa leave of those standing before them among the first 16 to 24;" in text
    assert "| c | 8/255 | 24 of 40 x 16 of 18 | 53.3 \\[" in text
    assert "| a | 8/255 | 24 of 40 x 8 of 10 | 48.0 \\[" in text


def test_an_incomplete_dear_attack_leaves_no_estimate(measured) -> None:
    attacks = [measured.attack("pgd-20"), measured.attack("x") | {"n": 16, "chunk": 8}]
    folder = measured.write("c", {}, n=40, grid=("4/255", "8/255"), attacks=attacks, suite="x@1",
                            without=[("x", "8/255")], status="interrupted")  # fmt: skip
    (record,) = collect([folder])
    assert [record.scores[WORST, label].status for label in ("4/255", "8/255")] == ["estimated", "missing"]
    assert not record.complete


def test_published_files_keep_who_was_attacked(measured, tmp_path) -> None:
    folder = tmp_path / "published"
    assert not site.publish(collect([measured.folder]), folder).left_out
    there = {record.info.model.name: record for record in collect([folder])}
    for record in collect([measured.folder]):
        other = there[record.info.model.name]
        assert other.scores == record.scores
        assert {name: mask.tolist() for name, mask in other.attacked.items()} == {"aa": [True] * 16 + [False] * 24}
    path = next(folder.glob("*.run.json"))
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["attacked"]
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(BadRun, match=r"not as many as its run\.json says"):
        collect([folder])


def test_recipes_are_compared_on_what_the_attack_was_given(measured) -> None:
    attacks = [measured.attack("pgd-20"), measured.attack("x") | {"n": 16, "chunk": 8}]
    for model, broken in (("p0", 2), ("p1", 4), ("q0", 6), ("q1", 8)):
        falls = {"x": dict.fromkeys(range(broken), "8/255")}
        measured.write(model, falls, n=40, grid=("4/255", "8/255"), attacks=attacks, suite="x@1")
    (found,) = recipes.compare_seeds(collect([measured.folder]), "p*", "q*")
    cell = next(cell for cell in found.cells if cell.place == ("x", "8/255"))
    assert (cell.a, cell.b) == ((14 / 16, 12 / 16), (10 / 16, 8 / 16))


def test_every_format_says_on_how_many_samples_an_attack_ran(measured, call, capsys) -> None:
    tables = make_tables(collect([measured.folder]))
    assert "aa (first 16)" in latex.render(tables, ["model", "aa", "worst"])
    assert "AutoAttack's verdict" in latex.render(tables)
    text = page.render(tables)
    assert "aa (first 16)" in text
    assert "24 of 40 x 8 of 10" in text
    lines = csv_file.render(tables).splitlines()
    assert sum(",estimated," in line for line in lines) == 4
    panels, _ = figure(collect([measured.folder]))
    assert [panel.title for panel in panels] == ["pgd-20", "aa (first 16)", "AutoAttack's verdict, estimated"]
    assert call(gate, measured.folder, "--require", "worst@8/255>=0.4", "--allow", "P8") == 1
    told = capsys.readouterr().out
    assert "48.0 [" in told
    assert "30.0 [" in told
