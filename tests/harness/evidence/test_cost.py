"""The compute ledger says what was spent, and a budget ends a run without losing anything."""

import json
import subprocess
import sys
import time

import pytest
import torch
from toys import Linear, SmallNet, labeled, loaded, scripted

from harness.base.text import duration, in_words
from harness.base.threat import parse_grid
from harness.errors import UsageError
from harness.evidence.costs import Cost, fold_costs, read_cost, write_cost
from harness.evidence.store import RunStore
from harness.inputs.suite import Suite
from harness.run.job import Options, evaluate
from harness.types import AttackSpec


def suite(mode="observed", chunk=16, grid=("1/255", "8/255")):
    params = {"steps": 5, "step_size": "epsilon/4", "random_start": True}
    return Suite(
        name="toy",
        version=1,
        norm="linf",
        grid=parse_grid(grid),
        mode=mode,
        chunk=chunk,
        attacks=(AttackSpec("pgd", "torchattacks", "pgd", params),),
    )


def test_every_cell_says_what_it_cost(tmp_path):
    model = SmallNet()
    run = evaluate(loaded(model, 5), suite(), labeled(model, 40, wrong=3), Options(tmp_path))
    for cell, entry in zip(run.summary["cells"], run.info.compute, strict=True):
        assert entry.units == 3
        assert 0 < cell["seconds"] == entry.seconds < run.info.seconds
        assert cell["peak_memory"] > 2**20
        assert cell["useful_gradients"] == entry.useful / cell["backwards"]
        assert cell["unconfirmed"] == cell["again"] == 0
    assert sum(entry.seconds for entry in run.info.compute) <= run.info.seconds


def test_useful_gradients_are_those_before_the_witness(tmp_path, monkeypatch):
    """Two queries with gradients a restart; a linear model is broken by the first or never."""
    model = Linear()
    data = labeled(model, 20, low=0.35, high=0.65)
    middle = f"{float(model.margin(data.images, 'linf').median()) + 1e-4:.6f}"

    def play(observer, problem):
        sign = torch.where(problem.labels == 1, -1.0, 1.0)[:, None]
        moved = problem.images + problem.epsilon * (sign * model.weight.detach().sign()).view_as(problem.images)
        for images in (moved.clamp(0, 1), problem.images):
            images = images.clone().requires_grad_()
            torch.autograd.grad(observer(images).sum(), images)
        return problem.images

    shares, broken = {}, 0
    for mode in ("observed", "watch", "faithful"):
        monkeypatch.setattr(Suite, "resolve", lambda self: (scripted(play, iterative=False),))
        chosen = suite(mode, 20, (middle,))
        (cell,) = evaluate(loaded(model, 2), chosen, data, Options(tmp_path)).summary["cells"]
        shares[mode] = cell["useful_gradients"]
        broken = max(broken, cell["broken"])  # faithful mode sees only what is returned
    standing = 20 - broken
    assert broken
    assert standing
    assert shares["observed"] == 2 * standing / (broken + 2 * standing)
    assert shares["watch"] == 2 * standing / (2 * broken + 2 * standing)
    assert shares["faithful"] is None


def test_costs_survive_and_lost_ones_are_not_made_up(tmp_path):
    (tmp_path / "costs").mkdir()
    cost = Cost(seconds=1.5, peak_memory=1000, backwards=9, useful=7, unconfirmed=2, again=1)
    write_cost(tmp_path, "a@1_255-00000.parquet", cost)
    assert read_cost(tmp_path, "a@1_255-00000.parquet") == cost
    write_cost(
        tmp_path,
        "a@1_255-00001.parquet",
        Cost(seconds=2.0, peak_memory=4000, backwards=1, useful=1, unconfirmed=0, again=0),
    )
    units = [(f"a@1_255-0000{i}.parquet", "a", "1/255") for i in range(2)]
    (entry,) = fold_costs(tmp_path, units)
    assert (entry.seconds, entry.peak_memory, entry.useful, entry.unconfirmed) == (3.5, 4000, 8, 2)
    (tmp_path / "costs" / "a@1_255-00000.json").write_text("{")
    (entry,) = fold_costs(tmp_path, units)
    assert entry.units == 2
    assert {getattr(entry, name) for name in ("seconds", "peak_memory", "useful", "unconfirmed", "again")} == {None}


METERED = """
import time
import torch
from harness.measure.meter import Meter
meter = Meter(torch.device("cpu"))
before = meter.read()[1]
block = torch.ones(30_000_000)
time.sleep(0.01)
seconds, peak = meter.read()
assert seconds >= 0.01
assert peak - before > 0.9 * block.nbytes, (before, peak)
del block
assert Meter(torch.device("cpu")).read()[1] < peak - 50_000_000
"""


def test_the_meter_sees_time_and_memory():
    """In a process of its own: one that freed gigabytes before has room for the block below its peak."""
    subprocess.run([sys.executable, "-c", METERED], check=True)


class Slow:
    """PGD's place: asks about the clean images, 20 ms a query; at the end of its patience the time is over."""

    def __init__(self, queries):
        self.queries, self.calls, self.patience = queries, 0, None

    def __call__(self, observer, problem):
        self.calls += 1
        for _ in range(self.queries):
            observer(problem.images)
            time.sleep(0.02)
        if self.patience is not None:
            self.patience -= 1
            if not self.patience:
                observer.deadline.set(0)
        return problem.images


def test_a_budget_stops_cleanly_says_what_is_missing_and_goes_on(tmp_path, monkeypatch):
    model = SmallNet()
    data = labeled(model, 40)
    slow = Slow(2)
    monkeypatch.setattr(Suite, "resolve", lambda self: (scripted(slow),))
    whole = evaluate(loaded(model, 5), suite(), data, Options(tmp_path / "whole"))
    slow.patience = 3  # units
    run = evaluate(loaded(model, 5), suite(), data, Options(tmp_path, budget=1e6))
    assert not run.complete
    assert run.info.status == "interrupted"
    (finding,) = [f for f in run.summary["findings"] if (f["check"], f["level"]) == ("budget", "warn")]
    assert "missing: pgd at 1/255 (1 of 3 chunks), pgd at 8/255 (2 of 3 chunks); about " in finding["message"]
    assert {cell["status"] for cell in run.summary["cells"]} == {"partial"}
    assert len(list((run.folder / "facts").glob("pgd*"))) == 3
    slow.patience = None
    run = evaluate(loaded(model, 5), suite(), data, Options(tmp_path, budget=1e6))
    assert slow.calls == 6 + 3 + 3  # nothing twice
    assert run.complete
    assert not [f for f in run.summary["findings"] if f["check"] in ("budget", "died")]
    order = [("attack", "ascending"), ("epsilon", "ascending"), ("sample_id", "ascending")]
    assert run.facts.sort_by(order).equals(whole.facts.sort_by(order))
    assert RunStore(run.folder).read_json("run.json")["status"] == "complete"


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("1.5h", 5400), ("2m 5s", 125)]
)
def test_durations(text, seconds):
    assert duration("--budget", text) == seconds


@pytest.mark.parametrize("text", ["", "0", "10x", "-5m", "m", "1m2h"])
def test_what_is_no_duration(text):
    with pytest.raises(UsageError, match="is no duration; write for instance 90s, 10m or 1h30m"):
        duration("--budget", text)


def test_words():
    assert [in_words(s) for s in (0, 45.4, 61, 600, 5400, 7199)] == ["0s", "45s", "1m", "10m", "1h30m", "2h00m"]


def test_the_command_ends_with_three(tmp_path, capsys):
    from harness.cli import main

    words = ["eval", "--model", "trades", "--suite", "fgsm", "--n", "600", "--results", str(tmp_path), "--json"]
    code = main([*words, "--budget", "1s", "--batch-size", "64", "--precision", "exact"])
    summary = json.loads(capsys.readouterr().out)
    assert code == (0 if summary["status"] == "complete" else 3)
    assert main([*words, "--budget", "soon"]) == 2
    assert "--budget 'soon' is no duration" in capsys.readouterr().err
