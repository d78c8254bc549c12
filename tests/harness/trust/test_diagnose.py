"""The diagnosis: each indicator trips on facts that show it, not on facts that don't, and grades follow their rule."""

import json

import numpy as np
import pytest
from book import AUTO, FGSM, PGD, SQUARE, Book, N, info, sound

from harness.evidence.summary import summarize
from harness.trust.diagnosis import verdict
from harness.types import Finding


def test_a_sound_run_is_left_alone_and_graded_a():
    assert sound().said() == []
    assert sound().grade() == "A"


# ---------------------------------------------------------------- attack order


@pytest.mark.parametrize(("extra", "level"), [(4, None), (8, "warn"), (30, "error")])
def test_a_single_step_that_beats_iterations(extra, level):
    """Eight samples of 200 only FGSM breaks: 4 points, and 1/256 by chance; four could be chance."""
    book = Book(FGSM, PGD).cell(FGSM, range(60)).cell(PGD, range(extra, 60))
    assert book.said() == ([("P8", level)] if level else [])


def test_order_is_judged_on_what_both_attacked():
    """What PGD broke at a smaller epsilon is not held against FGSM, nor for PGD."""
    book = Book(FGSM, PGD, grid=("4/255", "8/255"))
    book.cell(FGSM, range(30), "4/255").cell(PGD, range(40), "4/255")
    book.cell(FGSM, range(60)).cell(PGD, inherited=range(40))
    assert book.said() == [("P8", "error")]  # of the 160 left FGSM broke 20, PGD none
    assert "10.0 % of the samples more than the stronger pgd-20 at 8/255" in book.message("P8")


def test_a_cascade_must_not_be_weaker_than_what_it_contains():
    book = Book(PGD, AUTO).cell(PGD, range(60)).cell(AUTO, range(40))
    assert ("P8", "error") in book.said()


def test_targeted_and_minimum_norm_attacks_have_no_rank():
    targeted = info("t", kind="targeted", target="class:1")
    minimum = info("cw", "cw", kind="minimum")
    assert Book(FGSM, targeted, minimum).cell(FGSM, range(90)).cell(targeted).cell(minimum).said() == []


# ---------------------------------------------------------------- black box


@pytest.mark.parametrize(("alone", "level"), [(1, None), (4, "warn"), (20, "error")])
def test_an_attack_without_gradients_that_finds_more(alone, level):
    book = Book(PGD, SQUARE).cell(PGD, range(60)).cell(SQUARE, range(40, 60 + alone), backwards=0)
    assert book.said() == ([("P8", level)] if level else [])


def test_a_component_without_gradients_counts_too():
    book = Book(AUTO).cell(AUTO, range(60)).cell(AUTO, range(40), component="apgd-ce")
    book.cell(AUTO, range(40, 60), component="square", skipped=range(40), backwards=0)
    assert book.said() == [("P8", "error")]
    assert "aa (square)" in book.message("P8")


def test_what_gradients_broke_at_a_smaller_epsilon_is_not_held_against_them():
    """A cascade does not run on what it inherits, and a weaker attack that survives there is not all there is."""
    book = Book(PGD, AUTO, SQUARE, grid=("4/255", "8/255")).cell(PGD, (), "4/255").cell(PGD)
    book.cell(AUTO, range(40), "4/255").cell(AUTO, range(40), "4/255", component="apgd-ce")
    book.cell(AUTO, inherited=range(40)).cell(AUTO, component="apgd-ce", skipped=range(40))
    book.cell(SQUARE, (), "4/255", backwards=0).cell(SQUARE, range(40), backwards=0)
    assert "P8" not in {check for check, _ in book.said()}
    afresh = Book(PGD, SQUARE, grid=("4/255", "8/255"), mode="faithful").cell(PGD, range(40), "4/255").cell(PGD)
    afresh.cell(SQUARE, (), "4/255", backwards=0).cell(SQUARE, range(40), backwards=0)
    assert "P8" not in {check for check, _ in afresh.said()}


def test_beating_a_single_step_is_no_masking():
    assert Book(FGSM, SQUARE).cell(FGSM, range(20)).cell(SQUARE, range(60), backwards=0).said() == []


# ---------------------------------------------------------------- unbounded


@pytest.mark.parametrize(("standing", "expected"), [(20, []), (28, []), (60, [("P9", "error")])])
def test_an_unbounded_attack_must_reach_the_commonest_label(standing, expected):
    book = Book(PGD, grid=("0.5",)).cell(PGD, range(N - standing), "0.5")
    assert book.said() == expected


def test_the_commonest_label_is_what_counts():
    """90 % of one class: a model that says so always is robust in any ball."""
    labels = np.where(np.arange(N) < 20, 1, 0)
    assert Book(PGD, grid=("0.5",), labels=labels).cell(PGD, range(20), "0.5").said() == []


def test_single_steps_and_small_balls_need_not_reach_chance():
    assert Book(FGSM, grid=("0.5",)).cell(FGSM, (), "0.5").said() == []
    assert Book(PGD).cell(PGD).said() == []


# ---------------------------------------------------------------- gradients


@pytest.mark.parametrize(("dead", "level"), [(0, None), (1, None), (4, "warn"), (100, "error")])
def test_survivors_without_gradients_were_not_attacked(dead, level):
    counts = np.zeros(N, np.int64)
    counts[100 : 100 + dead] = 15  # of 20
    counts[:50] = 20  # broken all the same: no matter
    assert Book(PGD).cell(PGD, range(100), dead_gradients=counts).said() == ([("P7", level)] if level else [])


def test_uncounted_gradients_are_not_zero_gradients():
    nothing = np.ma.masked_array(np.zeros(N, np.int64), np.ones(N, bool))
    assert Book(PGD).cell(PGD, range(100), dead_gradients=nothing).said() == []


# ---------------------------------------------------------------- effort


def late(count, broken=100):
    queries = np.full(N, 3)
    queries[:count] = 19
    return {"query_index": np.ma.masked_array(queries, np.arange(N) >= broken)}


@pytest.mark.parametrize(("count", "expected"), [(0, []), (5, []), (12, [("P22", "warn")])])
def test_witnesses_of_the_last_tenth(count, expected):
    assert Book(PGD).cell(PGD, range(100), **late(count)).said() == expected


def test_what_is_returned_counts_as_found_last():
    queries = np.ma.masked_array(np.full(N, 3), (np.arange(N) < 15) | (np.arange(N) >= 100))
    assert Book(PGD).cell(PGD, range(100), query_index=queries).said() == [("P22", "warn")]


def test_a_tenth_of_few_is_nothing():
    assert Book(PGD).cell(PGD, range(10), **late(2, 10)).said() == []


def test_each_restart_has_its_own_last_tenth():
    """Query 25 of two restarts of 20 is the second one's beginning."""
    twice = info("pgd", restarts=2)
    queries = np.ma.masked_array(np.full(N, 25), np.arange(N) >= 100)
    restart = np.ma.masked_array(np.ones(N, np.int64), np.arange(N) >= 100)
    forwards = np.full(N, 40)
    book = Book(twice).cell(twice, range(100), query_index=queries, restart=restart, forwards=forwards)
    assert book.said() == [("P23", "warn")]


@pytest.mark.parametrize(("last", "expected"), [(0, []), (2, []), (6, [("P23", "warn")])])
def test_the_last_restart_should_find_nothing_new(last, expected):
    thrice = info("pgd", restarts=3)
    restart = np.zeros(N, np.int64)
    restart[:last] = 2
    restart = np.ma.masked_array(restart, np.arange(N) >= 100)
    queries = np.ma.masked_array(np.where(np.arange(N) < last, 45, 3), np.arange(N) >= 100)
    book = Book(thrice).cell(thrice, range(100), restart=restart, query_index=queries, forwards=np.full(N, 60))
    assert book.said() == expected


@pytest.mark.parametrize(("lost", "level"), [(0, None), (2, None), (5, "info"), (30, "warn")])
def test_silent_success_is_what_the_tool_did_not_return(lost, level):
    source = np.array(["query"] * lost + ["returned"] * (100 - lost) + [None] * 100, dtype=object)
    expected = [("P24", level)] if level else []
    assert Book(PGD, mode="watch").cell(PGD, range(100), source=source).said() == expected
    assert Book(PGD, mode="observed").cell(PGD, range(100), source=source).said() == []


# ---------------------------------------------------------------- overfitting to one attack


def test_catastrophic_overfitting():
    assert Book(FGSM, PGD).cell(FGSM, range(20)).cell(PGD, range(150)).said() == [("P16", "warn")]
    assert Book(FGSM, PGD).cell(FGSM, range(120)).cell(PGD, range(190)).said() == []  # undefended models look so


def test_single_step_accuracy_that_rises_with_epsilon():
    def rising(*attacks):
        book = Book(FGSM, *attacks, grid=("4/255", "8/255"))
        return book.cell(FGSM, range(90), "4/255").cell(FGSM, range(70))

    assert rising().said() == [("P16", "warn")]
    assert "at 8/255" in rising().message("P16")
    with_pgd = rising(PGD).cell(PGD, range(95), "4/255").cell(PGD, range(95, 100), inherited=range(95))
    assert with_pgd.said() == [("P16", "info")]
    steady = Book(FGSM, grid=("4/255", "8/255")).cell(FGSM, range(90), "4/255").cell(FGSM, range(85))
    assert steady.said() == []


@pytest.mark.parametrize(("gap", "level"), [(6, None), (16, "info"), (40, "warn")])
def test_a_cascade_far_below_plain_gradient_descent(gap, level):
    book = Book(PGD, AUTO).cell(PGD, range(60)).cell(AUTO, range(60 + gap))
    assert book.said() == ([("P16", level)] if level else [])


# ---------------------------------------------------------------- tools, claims


def test_tools_that_disagree():
    ours, theirs = info("fgsm", "fgsm", False), info("art/fgsm", "fgsm", False, tool="art")
    assert Book(ours, theirs).cell(ours, range(60)).cell(theirs, range(1, 61)).said() == []
    book = Book(ours, theirs).cell(ours, range(60)).cell(theirs, range(50))
    assert book.said() == [("P25", "warn")]
    assert "fgsm (torchattacks) breaks 5.0 %" in book.message("P25")
    other = {**theirs, "resolved": {"8/255": {"random_start": True}}}
    ours = {**ours, "resolved": {"8/255": {"random_start": False}}}
    assert Book(ours, other).cell(ours, range(60)).cell(other, range(50)).said() == []  # not the same attack


def test_the_claim_is_held_against_the_whole_slice():
    claims = {"toy": {"accuracy": 0.95, "n": 4000}}
    assert Book(PGD, wrong=12, claims=claims).cell(PGD).said() == []
    book = Book(PGD, wrong=60, claims=claims).cell(PGD)
    assert book.said() == [("P3", "error")]
    known = [{"check": "P3", "level": "refuse", "message": "said before"}]
    assert Book(PGD, wrong=60, claims=claims, findings=known).cell(PGD).said() == []


# ---------------------------------------------------------------- grades


def test_grades_follow_their_rule():
    assert Book(PGD).cell(PGD, range(9)).grade() == "B"  # nobody attacked without gradients
    assert Book(SQUARE).cell(SQUARE, range(9), backwards=0).grade() == "B"
    assert Book(PGD, SQUARE).cell(PGD, range(9)).cell(SQUARE, backwards=0).grade() == "A"
    assert Book(PGD, wrong=5).cell(PGD, range(5, N)).grade() == "A"  # nothing left to hide
    assert Book(PGD, mode="watch").cell(PGD, range(100), **late(30)).grade() == "C"
    assert Book(FGSM, PGD).cell(FGSM, range(60)).cell(PGD, range(30, 60)).grade() == "D"


@pytest.mark.parametrize(
    ("check", "level", "grade"),
    [("P4", "info", "B"), ("torn", "warn", "B"), ("P6", "warn", "C"), ("P3", "refuse", "D"), ("P4", "error", "D")],
)
def test_findings_before_the_run_count(check, level, grade):
    findings = [{"check": check, "level": level, "message": "m"}]
    assert Book(PGD, findings=findings).cell(PGD, range(9)).grade() == grade


def test_an_incomplete_row_has_no_grade():
    assert Book(PGD, grid=("4/255", "8/255")).cell(PGD).grade() is None
    assert Book(PGD).cell(PGD, skipped=[3]).grade() is None
    book = Book(PGD).cell(PGD)
    book.content["status"] = "interrupted"
    assert book.grade() is None
    assert Book(PGD).said() == []


def test_the_summary_carries_findings_and_grade_and_is_json():
    book = Book(FGSM, PGD, findings=[{"check": "tool", "level": "info", "message": "first"}])
    book.cell(FGSM, range(60)).cell(PGD, range(30, 60))
    summary = summarize(book.run, book.facts, *verdict(book.run, book.facts))
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert [finding["check"] for finding in summary["findings"]] == ["tool", "P8"]
    assert summary["findings"][1]["figure"] == pytest.approx(0.15)
    assert summary["findings"][1]["threshold"] == 0.01
    assert summary["grade"] == "D"
    assert book.run.findings == (Finding("tool", "info", "first"),)
