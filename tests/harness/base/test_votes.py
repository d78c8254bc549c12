"""The test that a candidate must pass: exact levels, by adding up all paths that votes can take."""

import math
from itertools import product

import pytest

from harness.base.votes import LEAD, LEVEL, checked, evidence, fewest, hopeless, needed
from harness.errors import UsageError

MOST = 100


def passes(share, candidate, most=MOST, level=LEVEL, drop=True):
    """Probability that a candidate is accepted of whose votes `share` hit, and the mean number of votes cast: exact."""
    asked = needed(candidate, level)
    paths, accepted, cast = {0: 1.0}, 0.0, 0.0
    for votes in range(1, most + 1):
        cast += sum(paths.values())
        after: dict[int, float] = {}
        for hits, p in paths.items():
            for more, q in ((1, share), (0, 1 - share)):
                after[hits + more] = after.get(hits + more, 0.0) + p * q
        accepted += sum(p for hits, p in after.items() if evidence(hits, votes) >= asked)
        after = {hits: p for hits, p in after.items() if evidence(hits, votes) < asked}
        paths = {hits: p for hits, p in after.items() if not (drop and hopeless(hits, votes, most, asked))}
    return accepted, cast


def test_evidence_is_the_mean_likelihood_ratio():
    assert evidence(0, 0) == pytest.approx(0, abs=1e-12)
    for votes in (1, 5, 14):  # the integral of (2p)^n over [1/2, 1], twice
        assert evidence(votes, votes) == pytest.approx(math.log(2 * (2 ** (votes + 1) - 1) / (2 * (votes + 1))))
    shares = [0.5 + (i + 0.5) / 200_000 for i in range(100_000)]
    mean = sum((2 * p) ** 7 * (2 - 2 * p) ** 3 for p in shares) / len(shares)
    assert evidence(7, 10) == pytest.approx(math.log(mean), rel=1e-6)


@pytest.mark.parametrize(("hits", "votes"), [(0, 0), (1, 1), (3, 9), (8, 9), (40, 60)])
def test_evidence_neither_grows_nor_falls_by_chance_alone(hits, votes):
    after = (math.exp(evidence(hits + 1, votes + 1)) + math.exp(evidence(hits, votes + 1))) / 2
    assert after == pytest.approx(math.exp(evidence(hits, votes)), rel=1e-9)


@pytest.mark.parametrize("candidate", [1, 2, 10, 1000])
def test_the_level_holds_exactly_and_is_used(candidate):
    level = LEVEL * 6 / (math.pi * candidate) ** 2
    accepted, _ = passes(0.5, candidate, drop=False)
    assert 0.02 * level < accepted <= level
    assert passes(0.5, candidate)[0] <= accepted  # dropping can only avert


def test_thousands_of_candidates_do_not_break_what_is_right():
    whole = sum(passes(0.2, candidate)[0] for candidate in range(1, 201))
    assert whole + 4800 * passes(0.2, 200)[0] < 1e-7  # of 5,000 candidates, each wrong in a fifth of its draws
    level = sum(6 / (math.pi * candidate) ** 2 for candidate in range(1, 100_000))
    assert 0.9999 < level < 1


def test_what_is_broken_is_accepted_and_costs_little():
    assert [passes(share, 1)[0] > enough for share, enough in ((1.0, 0.9999), (0.9, 0.99), (0.8, 0.98))] == [True] * 3
    assert passes(1.0, 1)[1] == fewest("majority") == 14
    assert passes(0.2, 1)[1] < 8
    assert passes(0.0, 1)[1] == LEAD


def test_votes_settle_as_soon_as_they_can():
    asked = needed(1)
    for hits, votes in product(range(30), range(30)):
        if hits <= votes and evidence(hits, votes) < asked and not hopeless(hits, votes, 40, asked):
            assert evidence(hits + 40 - votes, 40) >= asked
            assert votes - 2 * hits < LEAD


@pytest.mark.parametrize(
    ("count", "rule", "words"),
    [
        (13, "majority", "from 14 (fewer can show no break) to 100,000; 100 is"),
        (130, "mean", "from 140"),
        (155, "mean", "a multiple of 10"),
        (True, "majority", "True"),
        ("100", "majority", "whole number"),
        (100, "median", "rule 'median' is not one of majority, mean"),
    ],
)
def test_what_cannot_vote_is_refused(count, rule, words):
    with pytest.raises(UsageError, match="--draws") as refused:
        checked(count, rule)
    assert words in str(refused.value)


def test_what_can_vote():
    assert checked(100, "majority") == (100, "majority")
    assert checked(200, "mean") == (200, "mean")
