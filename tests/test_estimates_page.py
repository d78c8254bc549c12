"""docs/estimates.md: the worked example and the tables of half-widths are what the code computes."""

import json
import math
import re

import pytest
from repository import ROOT

from harness.base.estimates import Factor, join
from harness.base.statistics import exact_interval, wilson

PAGE = (ROOT / "docs" / "estimates.md").read_text(encoding="utf-8")


def told(step):
    """The numbers of the example's row that begins with `step`."""
    (row,) = re.findall(rf"^\| {re.escape(step)}[^|]*\| ([^|]*) \|$", PAGE, flags=re.M)
    return [float(number) for number in row.split(" to ")]


def rounded(*values):
    return [round(value, 4) for value in values]


def test_the_worked_example_by_hand_is_what_the_code_says():
    p, r = 672 / 2000, 47 / 51
    (p_low, p_high), (r_low, r_high) = wilson(672, 2000), exact_interval(47, 51)
    assert told("share that stands") == rounded(p)
    assert re.findall(r"^\| its Wilson interval \| (\S+) to (\S+) \|$", PAGE, flags=re.M) == [
        (f"{p_low:.4f}", f"{p_high:.4f}"),
        tuple(f"{bound:.4f}" for bound in wilson(47, 200)),
    ]
    assert told("share that is left") == rounded(r)
    assert told("its exact") == rounded(r_low, r_high)
    assert told("estimate, p r") == rounded(p * r)
    # The steps are written with rounded half-widths; so is this.
    below = math.hypot(r * round(p - p_low, 4), p * round(r - r_low, 4))
    above = math.hypot(r * round(p_high - p, 4), p * round(r_high - r, 4))
    assert f"sqrt((r {p - p_low:.4f})^2 + (p {r - r_low:.4f})^2)" in PAGE
    assert f"sqrt((r {p_high - p:.4f})^2 + (p {r_high - r:.4f})^2)" in PAGE
    assert told("lower bound") == rounded(p * r - below)
    assert told("upper bound") == rounded(p * r + above)
    assert told("AutoAttack's plain count") == rounded(47 / 200)
    whole = join(Factor(672, 2000), [Factor(47, 51)])
    assert [*told("lower bound"), *told("upper bound")] == rounded(*whole.interval)
    of_slice = join(Factor(672, 2000), [Factor(47, 51)], "set")
    assert told("interval for the slice itself") == rounded(*of_slice.interval)
    low, high = whole.interval
    assert f"{100 * whole.accuracy:.1f} [{100 * low:.1f}, {100 * high:.1f}] est." in PAGE
    low, high = wilson(47, 200)
    assert f"{100 * 47 / 200:.1f} [{100 * low:.1f}, {100 * high:.1f}]:" in PAGE


WIDTHS = re.findall(r"^\| ([\d,]+) \| ([\d,]+) \| (0\.\d+) \| (\d\.\d\d) \| (\d\.\d\d) \|$", PAGE, flags=re.M)


@pytest.mark.parametrize("row", WIDTHS, ids=lambda row: "-".join(row[:3]))
def test_the_half_widths(row):
    size, n, r = int(row[0].replace(",", "")), int(row[1].replace(",", "")), float(row[2])
    drawn = round(0.4 * n)
    joined = join(Factor(round(0.4 * size), size), [Factor(round(drawn * r), drawn)])
    low, high = wilson(round(drawn * r), n)
    assert row[3:] == (f"{100 * joined.half_width:.2f}", f"{50 * (high - low):.2f}")


def test_there_are_half_widths():
    assert len(WIDTHS) == 5


def test_the_prices_are_those_that_were_measured(monkeypatch):
    """Every row of the table of prices is one that the benchmark makes of its own results."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from cheap_phase import table

    made = table(json.loads((ROOT / "benchmarks" / "results" / "cheap-phase.json").read_text(encoding="utf-8")))
    head, _, *rows = made.splitlines()
    told = re.findall(r"^\|.*\*\*.*\|$", PAGE.partition(head)[2], flags=re.M)
    assert len(told) == 8
    assert set(told) <= set(rows)
