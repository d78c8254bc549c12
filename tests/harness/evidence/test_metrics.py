"""Metrics are folds over facts: hand-worked cases, and what must hold for any facts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.base.statistics import wilson
from harness.evidence import facts
from harness.evidence.metrics import cells, clean_accuracy, sample_outcomes, worst_case

EPSILONS = {1 / 255: "1/255", 2 / 255: "2/255"}


def rows(attack, epsilon, outcomes, component=None, reasons=None):
    n = len(outcomes)
    return facts.table(
        n,
        {
            "sample_id": np.arange(n),
            "label": np.zeros(n, np.int64),
            "attack": attack,
            "component": component,
            "epsilon": epsilon,
            "epsilon_label": EPSILONS.get(epsilon, "0"),
            "outcome": outcomes,
            "reason": reasons or [None] * n,
            "distance": [0.0 if o in facts.BROKEN else None for o in outcomes],
            "forwards": np.ones(n, np.int64),
            "backwards": np.ones(n, np.int64),
        },
    )


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    # From R: prop.test(k, n, correct = FALSE)$conf.int, the score interval without continuity correction.
    [(45, 100, 0.3561, 0.5476), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (1, 2, 0.0945, 0.9055)],
)
def test_wilson_hand_worked(k, n, low, high):
    assert wilson(k, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(0, 500), st.integers(0, 500))
def test_wilson_holds_the_share_and_mirrors(k, extra):
    n = k + extra
    low, high = wilson(k, n)
    assert 0 <= low <= (k / n if n else 0.5) <= high <= 1
    mirrored = wilson(n - k, n)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high))


def test_denominator_is_all_samples():
    outcomes = ["clean_wrong", "witness", "inherited", "survived", "survived"]
    (cell,) = cells(rows("a", 1 / 255, outcomes))
    assert (cell.n, cell.clean_correct, cell.broken) == (5, 4, 2)
    assert cell.robust_accuracy == 2 / 5
    assert cell.ci95 == wilson(2, 5)


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        (["survived", "error"], "partial"),
        (["error", "error"], "missing"),
        (["clean_wrong", "not_run"], "missing"),
        (["witness", "not_run"], "partial"),
    ],
)
def test_what_is_not_known_is_never_robust(outcomes, status):
    (cell,) = cells(rows("a", 1 / 255, outcomes))
    assert (cell.status, cell.robust_accuracy, cell.ci95) == (status, None, None)


def test_worst_case_is_a_union_over_attacks_and_smaller_epsilons():
    table = facts.concat(
        [
            rows("a", 1 / 255, ["witness", "survived", "survived", "clean_wrong"]),
            rows("a", 2 / 255, ["survived", "survived", "survived", "clean_wrong"]),
            rows("b", 1 / 255, ["survived", "survived", "survived", "clean_wrong"]),
            rows("b", 2 / 255, ["survived", "witness", "survived", "clean_wrong"]),
        ]
    )
    small, large = worst_case(table)
    assert (small.surviving, large.surviving) == (2, 1)
    assert large.robust_accuracy == 0.25


def test_worst_case_needs_every_attack():
    table = facts.concat([rows("a", 1 / 255, ["survived"]), rows("b", 1 / 255, ["error"])])
    assert worst_case(table)[0].robust_accuracy is None


def test_samples_without_facts_are_not_known():
    """An interrupted run has facts of its first chunks only."""
    table = rows("a", 1 / 255, ["survived", "witness"])
    (cell,) = cells(table, samples=5)
    assert (cell.n, cell.status, cell.robust_accuracy) == (5, "partial", None)
    assert worst_case(table, samples=5)[0].robust_accuracy is None
    assert cells(table, samples=2)[0].robust_accuracy == 0.5


def test_worst_case_needs_the_smaller_epsilons_too():
    table = facts.concat([rows("a", 1 / 255, ["error", "survived"]), rows("a", 2 / 255, ["survived", "survived"])])
    assert [row.robust_accuracy for row in worst_case(table)] == [None, None]


OUTCOME = st.sampled_from(["clean_wrong", "witness", "survived"])


@st.composite
def nested_facts(draw):
    """Two attacks at two epsilons as the core would leave them: what is broken stays broken."""
    n = draw(st.integers(1, 12))
    clean = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    tables = []
    for attack in ("a", "b"):
        down = [False] * n
        for epsilon in EPSILONS:
            new = draw(st.lists(st.booleans(), min_size=n, max_size=n))
            outcomes = []
            for i in range(n):
                if not clean[i]:
                    outcomes.append("clean_wrong")
                elif down[i]:
                    outcomes.append("inherited")
                else:
                    down[i] = new[i]
                    outcomes.append("witness" if new[i] else "survived")
            tables.append(rows(attack, epsilon, outcomes))
    tables.append(rows("clean", 0.0, ["survived" if c else "clean_wrong" for c in clean]))
    return facts.concat(tables)


@given(nested_facts(), st.randoms(use_true_random=False))
def test_properties_of_any_facts(table, random):
    found = {(c.attack, c.epsilon): c for c in cells(table)}
    right, n = clean_accuracy(table)
    small, large = EPSILONS
    for attack in ("a", "b"):
        assert found[attack, large].robust_accuracy <= found[attack, small].robust_accuracy <= right / n
    for worst in worst_case(table):
        both = [found[attack, worst.epsilon].robust_accuracy for attack in ("a", "b")]
        assert worst.robust_accuracy <= min(both)
    order = list(range(len(table)))
    random.shuffle(order)
    shuffled = table.take(order)
    assert {(c.attack, c.epsilon): c for c in cells(shuffled)} == found
    assert worst_case(shuffled) == worst_case(table)


def test_sample_outcomes_are_by_sample():
    table = rows("a", 1 / 255, ["clean_wrong", "witness", "survived"])
    assert sample_outcomes(table, "a", 1 / 255) == {0: False, 1: False, 2: True}


def test_the_order_of_facts_columns_and_types_is_a_contract():
    assert [f.name for f in facts.SCHEMA] == [
        "sample_id", "label", "attack", "component", "target", "epsilon", "epsilon_label", "outcome", "reason",
        "origin_epsilon", "source", "query_index", "restart", "distance", "margin", "clean_pred", "adv_pred",
        "forwards", "backwards", "dead_gradients",
    ]  # fmt: skip
