"""Joined rows wherever results are read: every format, the curves, compare, the gate, published files."""

from __future__ import annotations

import csv
import io
import json
import math

import pytest

from harness.base.order import fixed_order
from harness.errors import UsageError
from harness.trust.ledger import content_hash, ledger_path
from leaderboard import cli, site, wording
from leaderboard.compare.cli import compare, gate
from leaderboard.figures.choose import figure
from leaderboard.render import csv as csv_file
from leaderboard.render import json as json_file
from leaderboard.render import latex, markdown
from leaderboard.render.html import page
from leaderboard.rows import Table
from leaderboard.runs.collect import collect
from leaderboard.tables.joining import with_joined
from leaderboard.tables.tables import make_tables, with_attacks

E4, E8 = "4/255", "8/255"
ORDER = fixed_order(300)
MANY, FEW = sorted(ORDER[:200].tolist()), sorted(ORDER[:80].tolist())
FIRST, REST = ORDER[:80].tolist(), ORDER[80:200].tolist()


def measure(runs, model: str, fallen: int, broken: int, **options) -> None:
    """PGD breaks `fallen` fifths of the samples at 8/255, on both parts alike; the dear attack `broken` drawn ones."""
    pgd = dict.fromkeys([*FIRST[: fallen * 16], *REST[: fallen * 24]], E8)
    dear = dict.fromkeys(FIRST[fallen * 16 : fallen * 16 + broken], E8)
    attack = runs.attack("aa", tool="autoattack") | {
        "method": "standard", "components": ["apgd-ce", "apgd-t", "fab-t", "square"], "params": {},
    }  # fmt: skip
    told = {"grid": (E4, E8), "card": {"defense": model}} | options
    runs.write(model, {"pgd-20": pgd}, ids=MANY, **told)
    runs.write(model, {"aa": dear}, ids=FEW, suite="aa@1", attacks=[attack], slice_="sha256:" + "b" * 64, **told)


@pytest.fixture
def measured(runs):
    measure(runs, "weak", fallen=3, broken=8)
    measure(runs, "strong", fallen=1, broken=8)
    return runs


@pytest.fixture
def table(measured) -> Table:
    return next(t for t in make_tables(with_joined(collect([measured.folder]))) if t.joined is not None)


def test_the_heading_names_both_runs_and_the_text_both_targets(table) -> None:
    assert wording.titles([table]) == ["signs, linf, joined: pgd@1 on 200 x aa@1 on 80, observed"]
    text = markdown.render([table])
    assert "the share of all 200 samples that pgd-20 leave, times the share that aa leave of those" in text
    assert "cover the accuracy on images of this kind; those of the slice cover what all attacks would leave" in text
    assert "AutoAttack's verdict 4/255 | AutoAttack's verdict 8/255 |" in text
    assert "| weak | 8/255 | 80 of 200 x 24 of 32 | 30.0 \\[" in text
    row = next(line for line in text.splitlines() if line.startswith("| 2 | weak"))
    assert " est. |" in row
    assert "…" not in text


def test_ranks_come_from_the_estimates(table) -> None:
    assert [(row.label, row.rank) for row in table.rows] == [("strong", (1, 1)), ("weak", (2, 2))]
    assert table.rows[0].worst[1].accuracy == pytest.approx(160 / 200 * 56 / 64)


def test_csv_has_factors_and_the_second_suite(table) -> None:
    lines = list(csv.DictReader(io.StringIO(csv_file.render([table]))))
    (line,) = [x for x in lines if (x["model"], x["attack"], x["epsilon_label"]) == ("weak", "worst", E8)]
    assert (line["status"], line["correct"], line["factors"]) == ("estimated", "", "80/200 24/32")
    assert float(line["accuracy"]) == pytest.approx(0.3)
    assert (
        float(line["ci95_low"]) < float(line["slice_low"]) < 0.3 < float(line["slice_high"]) < float(line["ci95_high"])
    )
    assert (line["n"], line["joined_suite"], line["joined_n"]) == ("200", "aa@1", "80")
    (clean,) = [x for x in lines if (x["model"], x["attack"]) == ("weak", "clean")]
    assert (clean["factors"], clean["slice_low"], clean["status"]) == ("", "", "ok")


def test_json_has_the_estimate_and_what_was_joined(table) -> None:
    (told,) = json.loads(json_file.render([table]))["data"]["tables"]
    assert (told["joined"]["cheap"]["suite"], told["joined"]["dear"]["n"], told["autoattack"]) == (
        "pgd@1", 80, True,
    )  # fmt: skip
    weak = next(row for row in told["rows"] if row["model"] == "weak")
    score = weak["worst"][1]
    assert (score["status"], score["correct"], weak["complete"]) == ("estimated", None, True)
    assert score["accuracy"] == pytest.approx(0.3)
    assert score["estimate"]["factors"] == [
        {"attacks": ["pgd-20"], "n": 200, "kept": 80, "drawn": 200},
        {"attacks": ["aa"], "n": 80, "kept": 24, "drawn": 32},
    ]


def test_latex_marks_estimates_and_says_what_they_are(table) -> None:
    text = latex.render([table])
    assert r"30.0 est." in text
    assert "AutoAttack's verdict" in text
    assert "est.: an estimate, the share of all 200 samples" in text
    assert "30.0 est." in latex.render([table], ["model", "worst@8/255"], intervals=False)


def test_the_page_marks_estimates_and_shows_their_factors(table) -> None:
    text = page.render([table])
    assert 'class="num score estimated"' in text
    assert "How the estimates came about" in text
    assert "80 of 200 x 24 of 32" in text
    assert "Joined from weak-pgd-" in text


def test_curves_of_estimates_are_broken_lines(measured) -> None:
    joined = [record for record in with_joined(collect([measured.folder])) if record.joined is not None]
    panels, caption = figure(joined)
    assert [panel.title for panel in panels] == ["pgd-20", "AutoAttack's verdict, estimated"]
    assert [[curve.estimated for curve in panel.curves] for panel in panels] == [[False, False], [True, True]]
    points = next(curve for curve in panels[1].curves if curve.label == "weak").points
    assert [point.accuracy for point in points] == pytest.approx([1.0, 1.0, 0.3])
    assert "Broken lines: estimates" in caption
    assert "n = 200 x 80" in caption


def test_a_column_that_is_left_out_still_costs(table) -> None:
    row = table.rows[0]
    hidden = with_attacks(table, ["worst"]).rows[0]
    assert (hidden.forwards, hidden.backwards) == (row.forwards, row.backwards)
    assert row.forwards > sum(score.forwards for score in row.cells) > 0


def test_compare_has_both_estimates_and_no_samples(measured, call, capsys) -> None:
    assert call(compare, "strong", "weak", measured.folder, "--joined", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)["data"]["comparisons"]
    cell = next(c for c in found["cells"] if (c["attack"], c["epsilon_label"]) == ("worst", E8))
    assert (cell["only_a"], cell["only_b"], cell["n_needed"]) == (None, None, None)
    assert cell["difference"] == cell["a"]["accuracy"] - cell["b"]["accuracy"] == pytest.approx(0.4)
    assert cell["significant"]
    assert call(compare, "strong", "weak", measured.folder) == 0
    assert capsys.readouterr().out.count("## A: strong, B: weak") == 3, "both runs' tables, and the joined one"


def test_the_command_shows_them_beside_or_alone_or_not(measured, call, capsys) -> None:
    found = {}
    for words in ((), ("--joined",), ("--no-join",), ("--suite", "aa"), ("--joined", "--suite", "aa"), ("--n", 80)):
        assert call(cli.leaderboard, measured.folder, *words) == 0
        headings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("## ")]
        found[words] = (len(headings), sum("joined:" in line for line in headings))
    assert found == {
        (): (3, 1), ("--joined",): (1, 1), ("--no-join",): (2, 0), ("--suite", "aa"): (1, 0),
        ("--joined", "--suite", "aa"): (1, 1), ("--n", 80): (1, 0),
    }  # fmt: skip
    assert call(cli.leaderboard, measured.folder, "-o", measured.folder / "board.html") == 0
    assert "80 of 200 x 24 of 32" in (measured.folder / "board.html").read_text(encoding="utf-8")
    with pytest.raises(UsageError, match="recipes are compared by runs"):
        call(compare, "w*", "s*", measured.folder, "--joined")


def test_what_cannot_be_joined_is_told(runs, call, capsys) -> None:
    measure(runs, "m", 1, 1)
    runs.write("m", ids=FEW, wrong=[FEW[0]], suite="other@1", attacks=[runs.attack("x")], grid=(E8,))
    assert call(cli.leaderboard, runs.folder) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert "are not joined: 1 of 80 clean predictions" in line
    with pytest.raises(UsageError, match="no two runs can be joined"):
        call(cli.leaderboard, runs.elsewhere("alone").write("m"), "--joined")


def test_plot_takes_the_joined_table(measured, call, tmp_path) -> None:
    with pytest.raises(UsageError, match=r"3 tables fit.*--joined or --no-join"):
        call(cli.plot, measured.folder, "-o", tmp_path / "a.svg")
    assert call(cli.plot, measured.folder, "-o", tmp_path / "a.svg", "--joined") == 0


def test_the_gate_judges_estimates_and_with_confidence_by_their_interval(measured, call, capsys) -> None:
    allow = [word for check in ("P8", "P9", "P16") for word in ("--allow", check)]

    def judged(floor: float, *words: str) -> dict[str, bool]:
        call(gate, measured.folder, "--require", f"worst@8/255>={floor}", "--json", *allow, *words)
        verdicts = json.loads(capsys.readouterr().out)["data"]["verdicts"]
        return {v["subject"]: v["passed"] for v in verdicts if "joined:" in v["table"] and "worst" in v["requirement"]}

    (record,) = [r for r in with_joined(collect([measured.folder])) if r.joined and r.info.model.name == "weak"]
    low = record.scores["worst", E8].ci95[0]
    assert low < 0.29
    assert judged(0.29) == {"weak": True, "strong": True}
    assert judged(0.29, "--confident") == {"weak": False, "strong": True}
    assert judged(math.floor(100 * low) / 100, "--confident") == {"weak": True, "strong": True}


def test_published_files_join_like_their_runs(measured, tmp_path, monkeypatch, call, capsys) -> None:
    monkeypatch.setenv("HARNESS_LEDGER", str(tmp_path / "ledger.jsonl"))
    for run in measured.folder.iterdir():
        line = {
            "content": content_hash(run), "run": run.name, "verdict": "replayed 100", "evidence": "all",
            "replayed": 100, "at_most": 0.03, "problems": 0, "by": None, "device": "cpu", "at": "2025-01-01",
            "schema": 1,
        }  # fmt: skip
        with ledger_path().open("a", encoding="utf-8") as ledger:
            ledger.write(json.dumps(line) + "\n")
    assert call(cli.leaderboard, measured.folder, "--publish", tmp_path / "published", "--pictures", 0) == 0
    assert len(list((tmp_path / "published").glob("*.run.json"))) == 4, "runs, and nothing joined"
    assert site.tables_of(tmp_path / "published") == make_tables(with_joined(collect([measured.folder])))
    with pytest.raises(UsageError, match="joins them again"):
        call(cli.leaderboard, measured.folder, "--publish", tmp_path / "published", "--joined")


@pytest.fixture
def tried(runs):
    """`weak` with adapted attacks in both runs and one in the dear run alone, which breaks five; `strong` without."""

    def adapted(name: str, text: str):
        return runs.attack(name, tool="autoattack") | {"adapt": [{"text": text}], "after": "all"}

    measure(runs, "strong", fallen=1, broken=8)
    told = {"grid": (E4, E8), "card": {"defense": "weak"}}
    margin, scores = adapted("apgd-ce-100+margin", "margin"), adapted("square-2000+scores", "scores")
    attack = runs.attack("aa", tool="autoattack") | {
        "method": "standard", "components": ["apgd-ce", "apgd-t", "fab-t", "square"], "params": {},
    }  # fmt: skip
    pgd = dict.fromkeys([*FIRST[:48], *REST[:72]], E8)
    falls = {"aa": dict.fromkeys(FIRST[48:56], E8), "square-2000+scores": dict.fromkeys(FIRST[56:61], E8)}
    usual = runs.attack("pgd-20", steps=20)
    runs.write("weak", {"pgd-20": pgd}, ids=MANY, suite="pgd@1", attacks=[usual, margin], **told)
    dear = {"ids": FEW, "suite": "aa@1", "slice_": "sha256:" + "b" * 64}
    runs.write("weak", falls, attacks=[attack, margin, scores], **dear, **told)
    return next(t for t in make_tables(with_joined(collect([runs.folder]))) if t.joined is not None)


def test_the_dear_runs_adapted_attacks_have_columns_and_are_part_of_the_worst_case(tried) -> None:
    weak = next(row for row in tried.rows if row.model == "weak")
    assert {column.attack: column.n for column in tried.adapted} == {
        "apgd-ce-100+margin": None,
        "square-2000+scores": 80,
    }
    assert weak.tried == ("apgd-ce-100+margin", "square-2000+scores")
    cell, both = weak.score("square-2000+scores", E8), weak.score("apgd-ce-100+margin", E8)
    assert (cell.n, cell.correct) == (80, 75)
    assert (both.n, both.correct) == (200, 200), "the cheap run's, on more samples"
    assert weak.worst[1].accuracy == pytest.approx(80 / 200 * 19 / 32)
    assert [column.attack for column in tried.joined.dear.attacks] == ["aa"]
    strong = next(row for row in tried.rows if row.model == "strong")
    assert (strong.tried, strong.score("square-2000+scores", E8)) == ((), None)


def test_every_cell_of_both_runs_is_paid_for_once(tried, runs) -> None:
    weak = next(row for row in tried.rows if row.model == "weak")
    spent = [s.forwards for r in collect([runs.folder]) if r.info.model.name == "weak" for s in r.scores.values()
             if s.attack not in ("clean", "worst")]  # fmt: skip
    assert weak.forwards == sum(spent) > 0


def test_every_format_has_the_dear_runs_adapted_columns(tried) -> None:
    text = markdown.render([tried])
    assert "square-2000+scores (first 80) 8/255" in text
    assert "single attacks are the first run's, adapted ones with an n the second's" in text
    line = next(line for line in text.splitlines() if line.startswith("| 2 | weak"))
    assert "| 93.8 [" in line
    lines = list(csv.DictReader(io.StringIO(csv_file.render([tried]))))
    (cell,) = [x for x in lines if (x["model"], x["attack"], x["epsilon_label"]) == ("weak", "square-2000+scores", E8)]
    assert (cell["n"], cell["correct"], cell["adapt"], cell["adaptations"]) == ("80", "75", "scores", "2")
    (data,) = json.loads(json_file.render([tried]))["data"]["tables"]
    assert {column["attack"]: column["n"] for column in data["adapted"]}["square-2000+scores"] == 80
    (row,) = [line for line in latex.render([tried], ["model", "attacks"]).splitlines() if line.startswith("weak")]
    assert "93.8" in row
    assert "square-2000+scores (first 80)" in page.render([tried])


def test_a_run_with_a_pool_is_not_the_cheap_one(runs) -> None:
    """Its pool may know the first samples better than the rest: the run without it speaks."""
    measure(runs, "weak", fallen=3, broken=8)
    pool = runs.attack("witnesses+pool", tool="harness") | {"adapt": [{"text": "pool:x", "weights": "a"}]}
    told = {"grid": (E4, E8), "card": {"defense": "weak"}, "finished": "2025-01-01T00:00:00+00:00"}
    falls = {"witnesses+pool": dict.fromkeys(FIRST[48:60], E8)}
    runs.write("weak", falls, ids=MANY, suite="pgd@1", attacks=[runs.attack("pgd-20"), pool], **told)
    tables = make_tables(with_joined(collect([runs.folder])))
    assert [row.tried for table in tables if table.n == 200 and not table.joined for row in table.rows] == [
        ("witnesses+pool",)
    ]
    (joined,) = [row for table in tables if table.joined for row in table.rows]
    assert joined.tried == ()
    assert joined.worst[1].accuracy == pytest.approx(80 / 200 * 24 / 32)
