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
        assert f"`{one['model']}`" in wanted


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
