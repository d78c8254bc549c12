"""What adapted attacks found, which findings wait for one, and what the grade makes of both."""

import pytest
from book import FGSM, PGD, SQUARE, Book, N, info

from harness.trust.diagnosis.proposals import open_proposals, suggesting
from harness.types import Finding


def adapted(name="pgd-20+entry", *texts):
    return info(name) | {"adapt": [{"text": text} for text in texts or ("entry:net", "margin")], "after": "all"}


def test_what_an_adapted_attack_broke_beyond_the_others_is_a_finding_of_its_own():
    row = adapted()
    source = ["transfer" if i < 60 else "query" for i in range(N)]
    book = Book(FGSM, PGD, row).cell(FGSM, range(40)).cell(PGD, range(60))
    book.cell(row, range(100), source=[s if i < 100 else None for i, s in enumerate(source)])
    assert book.said() == [("P30", "warn")]
    assert "pgd-20+entry breaks 20.0 % of the samples at 8/255" in book.message("P30")


def test_an_adapted_attack_that_finds_little_or_nothing_is_no_reproach():
    row = adapted()
    for more, words in ((0, "breaks nothing"), (2, "breaks 1.0 %")):
        book = Book(PGD, SQUARE, row).cell(PGD, range(60)).cell(SQUARE, backwards=0).cell(row, range(60 + more))
        assert book.said() == [("P30", "info")]
        assert words in book.message("P30")
        assert book.grade() == "A"


def test_other_checks_do_not_compare_with_adapted_attacks():
    """Beside them FGSM that breaks more, dead gradients, and a second tool's strength would be contradictions."""
    row = adapted()
    dead = {"dead_gradients": [20] * N}
    book = Book(FGSM, PGD, row).cell(FGSM, range(60)).cell(PGD, range(80)).cell(row, range(30), **dead)
    assert [check for check, _ in book.said()] == ["P30"]


def test_a_smaller_epsilon_of_another_attack_is_known_already():
    row, grid = adapted(), ("4/255", "8/255")
    book = Book(PGD, row, grid=grid).cell(PGD, range(50), "4/255").cell(PGD, range(50, 60), inherited=range(50))
    book.cell(row, (), "4/255").cell(row, range(55, 62))
    assert "breaks 1.0 % of the samples at 8/255" in book.message("P30")


def test_single_steps_alone_have_no_better_than_c():
    assert Book(FGSM).cell(FGSM, range(60)).grade() == "C"
    assert Book(FGSM, wrong=5).cell(FGSM, range(5, N)).grade() == "C"
    assert Book(FGSM, SQUARE).cell(FGSM, range(60)).cell(SQUARE, backwards=0).grade() == "B"
    assert Book(FGSM, PGD).cell(FGSM, range(60)).cell(PGD, range(70)).grade() == "B"


def test_an_open_proposal_keeps_a_row_from_an_a():
    transferred = {"check": "P26", "level": "info", "message": "m", "figure": 0.005}

    def book(*attacks, findings=(transferred,)):
        made = Book(PGD, SQUARE, *attacks, findings=findings).cell(PGD, range(60)).cell(SQUARE, backwards=0)
        for attack in attacks:
            made.cell(attack, range(60))
        return made

    assert book().grade() == "B"
    assert book(findings=(transferred | {"figure": 0.0},)).grade() == "A"
    assert book(adapted("pgd-20+surrogate", "surrogate:trades")).grade() == "A"
    assert book(adapted("pgd-20+average", "average:10")).grade() == "B"


@pytest.mark.parametrize(
    ("check", "answer", "other"),
    [("P5", "average:10", "margin"), ("P6", "temperature:9", "average:2"), ("P7", "identity:a", "average:2"),
     ("P8", "scores", "average:2"), ("P21", "smooth:@1", "margin"), ("P26", "surrogate:m", "average:2")],
)  # fmt: skip
def test_a_finding_waits_for_an_adaptation_that_answers_it(check, answer, other):
    finding = Finding(check, "warn", "m", 0.1)
    attacks = Book(PGD, adapted("pgd-20+x", other)).run.suite.attacks
    assert open_proposals(attacks, [finding]) == [finding]
    attacks = Book(PGD, adapted("pgd-20+x", other), adapted("pgd-20+y", answer)).run.suite.attacks
    assert open_proposals(attacks, [finding]) == []
    assert suggesting([Finding(check, "info", "m"), Finding("P4", "error", "m")]) == []
