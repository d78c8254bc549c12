"""Requirements: what they mean, when they fail, and what a pipeline reads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness.errors import BadEpsilon, HarnessError, UnknownName, UsageError
from leaderboard.compare.cli import gate
from leaderboard.compare.gate import BELIEVED, NO_ERRORS, judge
from leaderboard.compare.gate_report import as_annotations, as_junit
from leaderboard.compare.requirements import Floor, Grade, NoRegression, parse
from leaderboard.runs.collect import collect

E1, E8 = "1/255", "8/255"


def passed(runs, *texts: str, confident: bool = False) -> list[bool]:
    return [v.passed for v in judge(collect([runs.folder]), [parse(text) for text in texts], confident)]


def test_a_run_from_the_future_fails(runs) -> None:
    """It would be the newest one forever, whatever is measured after it."""
    runs.write("m", {"pgd-20": dict.fromkeys(range(15), E1)})
    runs.write("m", finished="2999-01-01T00:00:00+00:00")
    told = judge(collect([runs.folder]), [parse("pgd-20@8/255>=0.3")])
    assert [(verdict.requirement == BELIEVED, verdict.passed) for verdict in told] == [(True, False), (False, True)]
    assert told[0].message == "it says that it finished at 2999-01-01T00:00:00+00:00, which is yet to come"


def test_requirements_are_read() -> None:
    assert parse("clean>=0.95") == Floor("clean>=0.95", "clean", 0.0, 0.95)
    assert parse(" art/pgd@20@8/255 >= 1 ") == Floor("art/pgd@20@8/255 >= 1", "art/pgd@20", 8 / 255, 1.0)
    assert parse("worst@0.5>=0") == Floor("worst@0.5>=0", "worst", 0.5, 0.0)
    assert parse("no-regression:results/old") == NoRegression("no-regression:results/old", Path("results/old"))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", UsageError),
        ("clean", UsageError),
        ("clean>0.9", UsageError),
        ("clean<=0.9", UsageError),
        ("clean@8/255", UsageError),
        ("clean@8/255>=0.9", UsageError),
        ("pgd-20>=0.5", UsageError),
        ("clean>=95", UsageError),
        ("clean>=nan", UsageError),
        ("clean>=-0.1", UsageError),
        ("clean>=most", UsageError),
        ("worst@8/0>=0.5", BadEpsilon),
        ("worst@nan>=0.5", BadEpsilon),
        ("worst@much>=0.5", BadEpsilon),
        ("no-regression:", UsageError),
    ],
)
def test_what_is_no_requirement_is_refused_in_one_line(text: str, error: type[HarnessError]) -> None:
    with pytest.raises(error) as caught:
        parse(text)
    assert repr(text) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_floors_are_judged_on_the_share_of_all_samples(runs) -> None:
    runs.write("m", {"pgd-20": dict.fromkeys(range(10), E8)}, wrong=[19])  # 9 of 20 stand
    assert passed(runs, "clean>=0.95", "clean>=0.951") == [True, False]
    assert passed(runs, "pgd-20@8/255>=0.45", "pgd-20@8/255>=0.4501") == [True, False]
    assert passed(runs, "worst@8/255>=0.45", "worst@1/255>=0.95", "worst@1/255>=0.96") == [True, True, False]


def test_confident_asks_the_lower_end_of_the_interval(runs) -> None:
    runs.write("m", {"pgd-20": dict.fromkeys(range(10), E8)})
    # Wilson for 10 of 20: [0.299, 0.701].
    assert passed(runs, "pgd-20@8/255>=0.5", "pgd-20@8/255>=0.29", "pgd-20@8/255>=0.3", confident=True) == [
        False, True, False,
    ]  # fmt: skip


def test_what_is_not_known_does_not_pass(runs) -> None:
    runs.write("m", {}, without=[("pgd-20", E8)], unknown={("pgd-20", E1): [3]}, status="interrupted")
    verdicts = judge(
        collect([runs.folder]), [parse("pgd-20@8/255>=0"), parse("pgd-20@1/255>=0"), parse("worst@8/255>=0")]
    )
    assert [(v.passed, v.message.split(",")[0]) for v in verdicts] == [
        (False, "the cell is missing"), (False, "the cell is partial"), (False, "the cell is missing"),
    ]  # fmt: skip


def test_every_model_needs_the_cell_once_and_holds_it_everywhere(runs) -> None:
    fgsm = {"suite": "fgsm@1", "attacks": [runs.attack("fgsm", iterative=False)]}
    runs.write("a", {})
    runs.write("a", {}, **fgsm)
    runs.write("b", {}, **fgsm)
    verdicts = judge(collect([runs.folder]), [parse("pgd-20@8/255>=0.5")])
    assert [(v.subject, v.passed) for v in verdicts] == [("b", False), ("a", True)]
    assert "not measured" in verdicts[0].message
    assert passed(runs, "worst@8/255>=0.5") == [True, True, True]


def test_what_cannot_be_judged_fails_beside_the_others(runs, tmp_path) -> None:
    runs.write("m", {})
    asked = ("clean>=0.5", "pgd-2@8/255>=0.5", "pgd-20@4/255>=0.5", f"no-regression:{tmp_path / 'baseline'}")
    verdicts = judge(collect([runs.folder]), [parse(text) for text in asked])
    assert [verdict.passed for verdict in verdicts] == [True, False, False, False]
    reasons = ("did you mean 'pgd-20'", "measured at 1/255, 8/255", "does not exist")
    assert not any(text in verdict.message for text, verdict in zip(asked[:3], verdicts, strict=False)), "said beside"
    for verdict, said in zip(verdicts[1:], reasons, strict=True):
        assert verdict.message.startswith("cannot be judged: ")
        assert said in verdict.message
    assert as_junit(verdicts).count("<failure") == 3
    assert as_annotations(verdicts).count("::error") == 3


def test_a_finding_of_level_error_fails_whatever_the_figures(runs) -> None:
    """A masked gradient makes every figure look good, and the run itself says so."""
    runs.write("m", {}, findings=[{"check": "P7", "level": "error", "message": "gradients are zero"}])
    runs.write("sound", {}, findings=[{"check": "P5", "level": "warn", "message": "noise"}])
    records = collect([runs.folder])
    judged = {v.subject: v for v in judge(records, [parse("pgd-20@8/255>=0.3")]) if v.requirement == NO_ERRORS}
    assert list(judged) == ["m"], "warnings fail nothing"
    assert not judged["m"].passed
    assert "P7: gradients are zero" in judged["m"].message
    assert "--allow P7" in judged["m"].message
    assert [v.passed for v in judge(records, [parse("pgd-20@8/255>=0.3")], allow=["P7"])] == [True, True, True]
    assert not all(v.passed for v in judge(records, [parse("clean>=0")], allow=["P8"]))


def test_a_check_to_allow_that_does_not_exist_is_refused(runs) -> None:
    """Else a slip of the pen accepts nothing, and nobody is told."""
    runs.write("m", {})
    with pytest.raises(UnknownName, match=r"unknown check 'p7'; did you mean .*'P7'.* in --allow"):
        judge(collect([runs.folder]), [parse("clean>=0")], allow=["P8", "p7"])


def test_a_refusal_that_was_overruled_is_an_error(runs) -> None:
    runs.write("m", {}, findings=[{"check": "P15", "level": "refuse", "message": "other classes"}])
    (error, _) = judge(collect([runs.folder]), [parse("clean>=0.3")])
    assert (error.requirement, error.passed) == (NO_ERRORS, False)


def test_a_grade_can_be_required(runs) -> None:
    record = replace(collect([runs.write("m", {})])[0], grade="C")
    assert [judge([record], [parse(f"grade>={grade}")])[0].passed for grade in "ABCD"] == [False, False, True, True]
    (verdict,) = judge([replace(record, grade=None)], [parse("grade>=D")])
    assert (verdict.passed, verdict.message) == (False, "it has no grade, for cells are missing")
    assert parse(" grade >= B ") == Grade("grade >= B", "B")
    with pytest.raises(UsageError, match="'E' is no grade from A to D"):
        parse("grade>=E")


def test_the_newest_run_of_a_model_speaks_for_it(runs) -> None:
    """A folder that is kept holds last week's worse run; it must not keep the gate red, nor a better one green."""
    worse = {"pgd-20": dict.fromkeys(range(15), E8)}
    runs.write("m", worse, sha256="sha256:" + "1" * 64, finished="2024-01-01T00:00:00+00:00")
    fresh = runs.write("m", {}, sha256="sha256:" + "2" * 64, finished="2024-01-08T00:00:00+00:00")
    records = collect([runs.folder])
    (verdict,) = judge(records, [parse("pgd-20@8/255>=0.5")])
    assert (verdict.passed, verdict.run) == (True, fresh.name)
    assert sorted(v.passed for v in judge(records, [parse("pgd-20@8/255>=0.5")], every_run=True)) == [False, True]
    later = {"sha256": "sha256:" + "3" * 64, "finished": "2024-01-09T00:00:00+00:00", "status": "interrupted"}
    runs.write("m", {}, without=[("pgd-20", E8)], **later)
    (verdict,) = judge(collect([runs.folder]), [parse("pgd-20@8/255>=0.5")])
    assert not verdict.passed, "the newest run is incomplete, and an older one does not speak for it"


def test_no_regression_forgives_chance_and_finds_a_loss(runs) -> None:
    old = runs.elsewhere("old")
    old.write("m", {"pgd-20": dict.fromkeys(range(20), E8)}, n=100, sha256="sha256:" + "1" * 64)
    require = f"no-regression:{old.folder}"
    same = runs.elsewhere("same")
    same.write("m", {"pgd-20": dict.fromkeys(range(23), E8)}, n=100, sha256="sha256:" + "2" * 64)
    assert passed(same, require) == [True], "three samples of a hundred may be chance"
    worse = runs.elsewhere("worse")
    worse.write("m", {"pgd-20": dict.fromkeys(range(40), E8)}, n=100, sha256="sha256:" + "3" * 64)
    (verdict,) = judge(collect([worse.folder]), [parse(require)])
    assert not verdict.passed
    assert "pgd-20 8/255 -20.0 points" in verdict.message
    better = runs.elsewhere("better")
    better.write("m", {}, n=100, sha256="sha256:" + "4" * 64)
    assert passed(better, require) == [True]


def test_no_regression_needs_the_same_cells_and_something_comparable(runs) -> None:
    old = runs.elsewhere("old")
    old.write("m", {})
    runs.write("m", {}, without=[("pgd-20", E8)], status="interrupted")
    (verdict,) = judge(collect([runs.folder]), [parse(f"no-regression:{old.folder}")])
    assert (verdict.passed, verdict.message) == (False, "not complete any more: pgd-20 8/255")
    other = runs.elsewhere("other")
    other.write("m", {}, mode="faithful")
    (verdict,) = judge(collect([other.folder]), [parse(f"no-regression:{old.folder}")])
    assert not verdict.passed
    assert "no run of m on the same data slice, suite, grid and mode" in verdict.message
    (verdict,) = judge(collect([old.folder]), [parse(f"no-regression:{old.folder}")])
    assert not verdict.passed
    assert "with itself" in verdict.message


def test_command_prints_and_writes_what_a_pipeline_reads(runs, call, tmp_path: Path, capsys) -> None:
    runs.write("m", {"pgd-20": dict.fromkeys(range(10), E8)})
    junit = tmp_path / "gate.xml"
    words = (runs.folder, "--require", "clean>=0.9", "--require", "pgd-20@8/255>=0.6", "--junit", junit, "--github")
    assert call(gate, *words) == 1
    out = capsys.readouterr().out
    assert "::error title=m%3A pgd-20@8/255>=0.6::50.0 [29.9, 70.1] %25, required 60 %25" in out
    assert "::notice title=harness gate::1 of 2 requirements met" in out
    assert out.endswith("1 passed, 1 failed\n")
    suite = ElementTree.parse(junit).getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert [case.find("failure") is not None for case in suite] == [False, True]

    assert call(gate, *words, "--json") == 1
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert (found["command"], found["ok"]) == ("gate", False)
    assert [v["passed"] for v in found["data"]["verdicts"]] == [True, False]
    assert "::error" in captured.err
    assert call(gate, runs.folder, "--require", "clean>=0.9") == 0


def test_hostile_names_break_neither_xml_nor_annotations(runs) -> None:
    name = 'x"<&>\n::error::%0A]]>,:\x00\ud800'
    runs.write(name, {})
    verdicts = judge(collect([runs.folder]), [parse("pgd-20@8/255>=0.6"), parse("clean>=0.5")])
    failed = [v.__class__(**{**v.__dict__, "passed": False}) for v in verdicts]
    assert len(ElementTree.fromstring(as_junit(failed).encode())[0]) == 2
    lines = as_annotations(failed).splitlines()
    assert len(lines) == 3
    assert all(line.startswith(("::error title=", "::notice title=")) for line in lines)
    assert lines[0].split("::")[1].count(",") == 0
