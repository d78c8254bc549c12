"""The price and the width of a design, counted by hand from what each attack did alone."""

import numpy as np
import pytest
from cheap_phase import Measured, Step, told

from harness.base.estimates import Factor, join


@pytest.fixture
def run() -> Measured:
    """Ten samples, one of them wrong; ``a`` breaks two, ``b``, on the first eight, those and two more, ``c`` none."""
    found = object.__new__(Measured)
    found.model, found.grid, found.n, found._known, found.once = "toy", ("8/255",), 10, {}, set()
    found.right = np.arange(10) > 0
    rows = {"a": ([1, 2], 10, 3.0), "b": ([1, 2, 3, 4], 8, 30.0), "c": ([], 10, 500.0)}
    found.fell = {name: np.where(np.isin(np.arange(10), broken), 0, 1) for name, (broken, _, _) in rows.items()}
    found.seen = {name: np.arange(10) < n for name, (_, n, _) in rows.items()}
    found.price = {name: np.full((10, 1), price) for name, (_, _, price) in rows.items()}
    return found


def test_a_design_pays_for_what_stands_and_leaves_what_each_left(run) -> None:
    (look,) = run.outlook((Step("a", 1000), Step("b", 100), Step("c", 100)), 1000)
    # a sees the nine that are right and leaves seven; of the five of those that b saw it leaves three.
    price = 1000 * 0.9 * 3 + 100 * 0.7 * 30 + 100 * (0.7 * 3 / 5) * 500
    joined = join(Factor(700, 1000), [Factor(42, 70)])
    assert look.price == pytest.approx(price)
    assert (look.estimate, look.half_width) == (joined.accuracy, joined.half_width)


def test_attacks_on_prefixes_of_their_own_are_factors_of_their_own(run) -> None:
    (look,) = run.outlook((Step("a", 1000), Step("b", 100), Step("c", 50)), 1000)
    joined = join(Factor(700, 1000), [Factor(42, 70), Factor(21, 21)])
    assert (look.estimate, look.half_width) == (joined.accuracy, joined.half_width)


def test_an_attack_with_a_cell_of_its_own_pays_for_all_that_are_right(run) -> None:
    (look,) = run.outlook((Step("a", 100, alone=True), Step("b", 100, alone=True)), 100)
    assert look.price == pytest.approx(100 * 0.9 * 33)
    assert told((Step("a", 1000), Step("b", 100))) == "a 1,000, b 100"


def test_what_runs_once_for_all_epsilons_is_paid_for_once_but_by_the_tool(run) -> None:
    run.grid, run.once = ("4/255", "8/255"), {"c"}
    run.price = {name: np.repeat(price, 2, axis=1) for name, price in run.price.items()}
    run.fell = {name: np.where(fell == 1, 2, fell) for name, fell in run.fell.items()}
    design = (Step("a", 1000), Step("c", 100))
    (first, second), (_, tool) = run.outlook(design, 1000), run.outlook(design, 1000, once=False)
    assert first.price == pytest.approx(1000 * 0.9 * 3 + 100 * 0.7 * 500)
    assert second.price == pytest.approx(1000 * 0.9 * 3)
    assert tool.price == pytest.approx(first.price)
