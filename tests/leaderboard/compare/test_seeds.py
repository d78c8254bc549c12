"""Recipes compared over training seeds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import ttest_ind

from harness.base.statistics import welch
from harness.errors import UnknownName, UsageError
from leaderboard.compare.cli import compare
from leaderboard.compare.recipes import as_data, as_markdown, bootstrap_mean, compare_seeds
from leaderboard.runs.collect import collect
from leaderboard.tables.statistics import paired_bootstrap

E1, E8 = "1/255", "8/255"


@pytest.fixture
def recipes(runs):
    """Three trainings each: 2, 4 and 6 of 20 samples fall with a, 9, 10 and 11 with b."""
    for name, counts in (("a", (2, 4, 6)), ("b", (9, 10, 11))):
        for seed, count in enumerate(counts):
            runs.write(f"{name}-s{seed}", {"pgd-20": dict.fromkeys(range(count), E8)})
    return runs


def test_welch_agrees_with_scipy() -> None:
    a, b = [0.61, 0.58, 0.66], [0.52, 0.55, 0.50, 0.57]
    expected = ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert welch(a, b) == pytest.approx((expected.low, expected.high))
    assert welch([0.5, 0.5], [0.25, 0.25]) is None  # three that agree do not make the fourth certain
    agreed = welch([0.935] * 3, [0.91, 0.93, 0.92])  # by hand: 0.015 +- t(0.975, 2) * 0.01 / sqrt(3); no warning
    assert agreed == pytest.approx((0.015 - 4.302653 * 0.01 / 3**0.5, 0.015 + 4.302653 * 0.01 / 3**0.5))


def test_the_bootstrap_is_that_of_drawing_images_again() -> None:
    values = np.random.default_rng(1).choice([-1 / 3, 0.0, 1 / 3, 1.0], size=400, p=[0.1, 0.5, 0.3, 0.1])
    picks = np.random.default_rng(2).integers(0, 400, (10_000, 400))
    low, high = np.quantile(values[picks].mean(axis=1), [0.025, 0.975])
    assert bootstrap_mean(values) == pytest.approx((low, high), abs=0.005)


def test_means_and_both_intervals(recipes) -> None:
    (found,) = compare_seeds(collect([recipes.folder]), "a-*", "b-*")
    assert found.names_a == ("a-s0", "a-s1", "a-s2")
    clean, small, large = found.cells
    assert (clean.place, clean.difference) == (("clean", "0"), 0)
    assert clean.over_seeds is None
    assert clean.over_images == paired_bootstrap(0, 0, 20)
    assert small.difference == 0
    assert large.a == (0.9, 0.8, 0.7)
    assert large.b == (0.55, 0.5, 0.45)
    assert large.difference == pytest.approx(0.3)
    assert large.over_seeds == pytest.approx(welch(large.a, large.b))
    # Samples 0-1 fall with all, 2-3 with two of a and all of b, ...: the images' differences have this mean.
    assert large.over_images[0] < 0.3 < large.over_images[1]


@pytest.mark.parametrize(
    ("a", "b", "error", "message"),
    [
        ("c-*", "b-*", UnknownName, r"c-\*"),
        ("a-*", "*", UsageError, "both match a model"),
        ("a-s0", "b-*", UsageError, "two trainings each"),
    ],
)
def test_what_cannot_be_compared_is_said(recipes, a: str, b: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        compare_seeds(collect([recipes.folder]), a, b)


def test_the_same_weights_are_no_second_training(runs) -> None:
    for name in ("a-s0", "a-s1"):
        runs.write(name, {}, sha256="sha256:" + "1" * 64)
    for name in ("b-s0", "b-s1"):
        runs.write(name, {})
    with pytest.raises(UsageError, match="no second training"):
        compare_seeds(collect([runs.folder]), "a-*", "b-*")


def test_another_recipe_is_no_further_seed(recipes) -> None:
    recipes.write("a-trades", {}, card={"defense": "trades"})
    with pytest.raises(UsageError, match="different recipes"):
        compare_seeds(collect([recipes.folder]), "a-*", "b-*")
    assert compare_seeds(collect([recipes.folder]), "a-s?", "b-s?")


def test_trainings_with_errors_are_marked(runs) -> None:
    for name in ("a-s0", "a-s1", "b-s0", "b-s1"):
        errors = [{"check": "P7", "level": "error", "message": "zero"}] if name == "b-s1" else []
        runs.write(name, {"pgd-20": {0: E8}}, findings=errors)
    found = compare_seeds(collect([runs.folder]), "a-*", "b-*")
    text = as_markdown(found)
    assert text.startswith("## A: a-s0, a-s1; B: b-s0, b-s1 †\n")
    assert "not to be trusted: b-s1 (P7)." in text
    assert as_data(found)[0]["errors"] == [{"model": "b-s1", "checks": ["P7"]}]


def test_the_command_line(recipes, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare("a-s?", "b-s?", [recipes.folder]) == 0
    assert "| pgd-20 8/255 | 80.0 (90.0, 80.0, 70.0) | 50.0 (55.0, 50.0, 45.0) | +30.0 |" in capsys.readouterr().out
    assert compare("a-*", "b-*", [recipes.folder], as_json=True) == 0
    (data,) = json.loads(capsys.readouterr().out)["data"]["seeds"]
    assert data["cells"][2]["difference"] == pytest.approx(0.3)
