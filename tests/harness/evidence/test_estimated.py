"""The worst case of attacks on prefixes: the product of what each left, counted from facts."""

import json
from importlib.resources import files

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.base.estimates import Factor, join
from harness.base.statistics import wilson
from harness.evidence import facts
from harness.evidence.metrics import Drawn, cells, worst_case
from harness.evidence.summary import about_estimates, worst_words

SMALL, LARGE = 1 / 255, 2 / 255
LABELS = {SMALL: "1/255", LARGE: "2/255"}
WORDS = {"w": "witness", "s": "survived", "c": "clean_wrong", "i": "inherited", "n": "not_run"}


def rows(attack, epsilon, outcomes):
    """Facts of samples 0, 1, ... by a letter each."""
    spelled = [WORDS[letter] for letter in outcomes]
    return facts.table(
        len(spelled),
        {
            "sample_id": np.arange(len(spelled)),
            "label": np.zeros(len(spelled), np.int64),
            "attack": attack,
            "epsilon": epsilon,
            "epsilon_label": LABELS[epsilon],
            "outcome": spelled,
            "distance": [0.0 if outcome in facts.BROKEN else None for outcome in spelled],
            "forwards": np.ones(len(spelled), np.int64),
            "backwards": np.ones(len(spelled), np.int64),
        },
    )


def counted(tables, n=10, **drawn):
    return worst_case(facts.concat(tables), n, drawn=drawn)


def test_the_product_is_counted_by_hand():
    """Ten samples: seven stand after the first attack, four of these lie on the prefix of six, and three are left."""
    full, dear = rows("fast", LARGE, "cwsssswsss"), rows("dear", LARGE, "cwswsw")
    (one,) = counted([full, dear], fast=10, dear=6)
    assert one.surviving == 7
    assert one.full == ("fast",)
    # Of samples 2, 3, 4, 5, which stood before it, it breaks 3 and 5. What it broke of the others counts for nothing.
    assert one.further == (Drawn(("dear",), 6, 2, 4),)
    assert one.status == "estimated"
    assert one.robust_accuracy == pytest.approx(0.7 * 2 / 4)
    assert one.ci95 == join(Factor(7, 10), [Factor(2, 4)]).interval
    assert one.of_slice == join(Factor(7, 10), [Factor(2, 4)], "set").interval
    mine = {cell.attack: cell for cell in cells(facts.concat([full, dear]), {"fast": 10, "dear": 6})}
    assert mine["dear"].robust_accuracy == 2 / 6  # its own cell is its plain count on its own n
    assert mine["dear"].ci95 == wilson(2, 6)
    assert mine["dear"].status == "ok"
    assert mine["fast"].robust_accuracy == 7 / 10


def test_attacks_on_one_prefix_are_one_factor_and_shorter_ones_another():
    full = rows("fast", LARGE, "s" * 10)
    parts = [rows("a", LARGE, "wsssss"), rows("b", LARGE, "swssss"), rows("c", LARGE, "ssws")]
    (one,) = counted([full, *parts], fast=10, a=6, b=6, c=4)
    assert one.further == (Drawn(("a", "b"), 6, 4, 6), Drawn(("c",), 4, 1, 2))
    assert one.robust_accuracy == pytest.approx(1.0 * 4 / 6 * 1 / 2)


def test_broken_means_at_this_or_a_smaller_epsilon():
    """Attack `fast` does not inherit: what it broke at the small epsilon and not at the large one is broken there."""
    tables = [rows("fast", SMALL, "wsss"), rows("fast", LARGE, "swss")]
    tables += [rows("dear", SMALL, "sssw"), rows("dear", LARGE, "ssss")]
    small, large = counted(tables, n=4, fast=4, dear=4)
    assert (small.status, large.status) == ("ok", "ok")
    assert (small.robust_accuracy, large.robust_accuracy) == (2 / 4, 1 / 4)
    tables = [*tables[:2], rows("dear", SMALL, "ssw"), rows("dear", LARGE, "sss")]
    small, large = counted(tables, n=4, fast=4, dear=3)
    assert small.further == (Drawn(("dear",), 3, 1, 2),)
    assert large.surviving == 2
    assert large.further == (Drawn(("dear",), 3, 0, 1),)  # sample 2, which it broke at the small epsilon


def test_estimates_are_shown_falling_and_say_so():
    """At the large epsilon one of one drawn stands, at the small one one of two: chance, not robustness."""
    tables = [rows("fast", SMALL, "ssssss"), rows("fast", LARGE, "swssss")]
    tables += [rows("dear", SMALL, "sw"), rows("dear", LARGE, "sw")]
    small, large = counted(tables, n=6, fast=6, dear=2)
    assert small.further[0] == Drawn(("dear",), 2, 1, 2)
    assert large.further[0] == Drawn(("dear",), 2, 1, 1)
    assert small.robust_accuracy == 0.5
    assert large.joined().accuracy == pytest.approx(5 / 6)
    assert large.robust_accuracy == 0.5
    assert large.lowered
    assert not small.lowered
    assert large.ci95[0] <= 0.5 <= large.ci95[1] <= small.ci95[1]


def test_edges():
    nobody = counted([rows("fast", LARGE, "wwww"), rows("dear", LARGE, "ww")], n=4, fast=4, dear=2)[0]
    assert (nobody.robust_accuracy, nobody.ci95) == (0.0, wilson(0, 4))
    unseen = counted([rows("fast", LARGE, "wwss"), rows("dear", LARGE, "ww")], n=4, fast=4, dear=2)[0]
    assert (unseen.robust_accuracy, unseen.ci95) == (0.5, (0.0, wilson(2, 4)[1]))  # no survivor was drawn
    every = counted([rows("fast", LARGE, "ssww"), rows("dear", LARGE, "ss")], n=4, fast=4, dear=2)[0]
    assert every.robust_accuracy == 0.5
    assert every.ci95[1] == wilson(2, 4)[1]


@pytest.mark.parametrize(
    "dear", [["ssn", "sss"], ["ss", "sss"], ["", "sss"], ["sss", ""]], ids=["not run", "short", "none", "none above"]
)
def test_an_incomplete_prefix_is_no_estimate(dear):
    tables = [rows("fast", SMALL, "ssss"), rows("fast", LARGE, "ssss")]
    tables += [rows("dear", epsilon, word) for epsilon, word in zip((SMALL, LARGE), dear, strict=True)]
    small, large = counted(tables, n=4, fast=4, dear=3)
    assert large.status == "missing"
    assert (large.robust_accuracy, large.ci95, large.of_slice) == (None, None, None)
    assert small.status == ("estimated" if dear[0] == "sss" else "missing")


@given(st.data(), st.integers(2, 12))
def test_a_complete_run_has_the_number_and_interval_of_today(data, n):
    draw = st.text("wsci", min_size=n, max_size=n)
    tables = [rows(name, epsilon, data.draw(draw)) for name in "ab" for epsilon in (SMALL, LARGE)]
    before = worst_case(facts.concat(tables), n, 2)
    now = worst_case(facts.concat(tables), n, drawn={"a": n, "b": n})
    assert now == before
    assert [row.ci95 for row in now] == [wilson(row.surviving, n) for row in now]
    assert {row.status for row in now} == {"ok"}


def test_the_words_of_an_estimate():
    row = {"robust_accuracy": 0.412, "ci95": [0.394, 0.431], "status": "estimated", "lowered": True}
    row["epsilon_label"] = "8/255"
    row["factors"] = [
        {"attacks": ["fgsm", "pgd-20"], "n": 2000, "kept": 900, "drawn": 2000},
        {"attacks": ["autoattack"], "n": 300, "kept": 110, "drawn": 120},
    ]
    assert worst_words(row) == "41.2 [39.4, 43.1] est."
    assert worst_words(row | {"status": "missing", "robust_accuracy": None}) == "–"
    words = about_estimates({"worst_case": [row]})
    assert words.startswith("est.: fgsm and pgd-20 ran on all 2,000 samples, autoattack on the first 300; ")
    assert words.endswith("at 8/255 it came out above a smaller epsilon's, whose figure is shown")
    plain = {"robust_accuracy": 0.5, "ci95": [0.4, 0.6], "epsilon_label": "8/255"}
    assert worst_words(plain) == "50.0 [40.0, 60.0]"
    assert about_estimates({"worst_case": [plain]}) == ""


def test_schema_1_has_no_estimates_and_schema_2_has_all_of_one():
    schema = json.loads(files("harness").joinpath("schemas/summary.json").read_text())
    rule = {key: schema[key] for key in ("if", "then", "else")} | {"properties": {"schema": {"enum": [1, 2]}}}
    plain = {"epsilon": 0.1, "epsilon_label": "0.1", "robust_accuracy": 0.5, "ci95": [0.4, 0.6]}
    new = {"status": "estimated", "ci95_of_slice": [0.4, 0.6], "lowered": False, "factors": []}
    jsonschema.validate({"schema": 1, "worst_case": [plain]}, rule)
    jsonschema.validate({"schema": 2, "worst_case": [plain | new]}, rule)
    for number, row in ((2, plain), (1, plain | new), (1, plain | {"status": "estimated"})):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"schema": number, "worst_case": [row]}, rule)
