"""The performance page is what the results give, and the results say where they come from."""

import importlib.util
import json

import numpy as np
import pytest
from repository import ROOT

KINDS = ("sweep", "bisection", "faithful", "autoattack", "art-pgd", "art-pgd-batch", "limit", "proposer")
BENCHMARKS = ROOT / "benchmarks"


def script(name, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))  # scripts import their neighbors, as when they are run
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(monkeypatch):
    page = script("page", monkeypatch)
    wanted = page.page(page.load())
    assert page.PAGE.read_text(encoding="utf-8") == wanted, "run: python benchmarks/page.py"
    for one in page.load():
        assert one["device"] in wanted
        names = (
            {f"| {row['shape']} |" for row in one["rows"]} if one["benchmark"] == "shapes" else {f"`{one['model']}`"}
        )
        assert all(name in wanted for name in names)


def test_the_page_gives_the_largest_difference_over_the_grid_with_its_sign(monkeypatch):
    speed = script("page_speed", monkeypatch)
    one = {"grid": ["1/255", "2/255"], "n": 50, "rows": []}
    for lost in (0.02, 0.04):  # two rounds: -3 points at 2/255 on average, +1 at 1/255
        cell = {"harness": 0.5, "bare": 0.49, "only_harness_breaks": 1, "only_bare_breaks": 2}
        one["rows"].append({"cells": {"1/255": cell, "2/255": {**cell, "bare": 0.5 + lost}}})
    assert speed.strength("x", one, ("harness", "bare")) == ("x", "-3.0 at 2/255", 4, 8, 200)


def test_the_page_tells_the_worst_case_of_each_shape_and_the_mean(monkeypatch):
    shapes = script("page_shapes", monkeypatch)
    plan = {"speedups": ["fold"], "channels_last": False, "precision": "float32"}
    row = {"tool": "torchattacks", "n": 8, "robust": {"harness": 0.5, "bare": 0.25}, "plan": plan}
    speeds = {("A", "survive"): 0.5, ("A", "break"): 3.0, ("B", "survive"): 2.0, ("B", "break"): 4.0}
    rows = [{**row, "shape": name, "state": state, "speedup": fast} for (name, state), fast in speeds.items()]
    rows.append({**rows[0], "tool": "art", "n": 4, "speedup": 1.5, "robust": {"harness": 0.5, "bare": 0.55}})
    one = {
        "benchmark": "shapes",
        "rows": rows,
        "device": "D",
        "threads": 1,
        "clock": "processor",
        "load": 1,
        "versions": {},
    }
    told = "\n".join(shapes.shapes([one]))
    assert "| A | **0.50** / **3.00** (n = 8) | **1.50** / - (n = 4) | fold, float32 |" in told
    assert "| B | **2.00** / **4.00** (n = 8) | - | fold, float32 |" in told
    assert "differ by 25.0 points at most" in told
    assert "geometric mean 1.00" in told
    assert not shapes.shapes([])


def test_what_the_page_leaves_out_is_printed(monkeypatch):
    page = script("page", monkeypatch)
    results = page.load()
    told = page.rest(results)
    grids = sum(len(one["grid"]) for one in results if one["benchmark"] in ("sweep", "bisection"))
    rows = [line for line in told.partition("## What stands")[0].splitlines() if "/255 |" in line]
    assert len(rows) == grids
    (limit,) = [one for one in results if one["benchmark"] == "limit"]
    for by in limit["gradients_per_second"].values():
        assert all(f" {speed:,.0f} " in told for speed in by.values())


@pytest.mark.parametrize("path", sorted((BENCHMARKS / "results").glob("*.json")), ids=lambda path: path.stem)
def test_results_say_on_what_they_were_measured(path):
    value = json.loads(path.read_text(encoding="utf-8"))
    assert {"benchmark"} <= set(value)
    if value["benchmark"] not in KINDS:
        return
    assert {"benchmark", "model", "data", "n", "device", "threads", "clock", "load", "versions"} <= set(value)
    if value["benchmark"] in ("sweep", "faithful"):
        ratios = [row["bare_s"] / row["harness_s"] for row in value["rows"]]
        assert value["speedup"] == pytest.approx(float(np.median(ratios)))


@pytest.mark.parametrize(
    ("against", "gained", "low", "high"),
    [
        (0, 0, 0.00149, 0.0015),  # nothing differs: the exact bound, 1 - 0.05^(1/2000)
        (4, 0, 0.0040, 0.0050),
        (30, 30, 0.0060, 0.0070),  # the normal bound: 1.645 sqrt(0.03 / 2000)
        (0, 40, -0.02, -0.0140),
    ],
)
def test_the_bound_of_the_non_inferiority_test(monkeypatch, against, gained, low, high):
    differences = np.zeros(2000)
    differences[:against] = 1
    differences[against : against + gained] = -1
    assert low < script("proposer", monkeypatch).bound(differences) < high
