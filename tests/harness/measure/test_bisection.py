"""Mode ``bisection``: each sample is attacked only where its epsilon is looked for, and the outcome is the same where
an attack that breaks a ball breaks every larger one."""

import dataclasses
import json
import math

import pytest
import torch
from forgery import Forger
from hypothesis import given
from hypothesis import strategies as st
from toys import CASCADE, Linear, SmallNet, StopAfter, labeled, loaded, scripted

from harness.base.threat import parse_grid
from harness.evidence import facts
from harness.evidence.facts import IMPLIED
from harness.inputs.suite import Suite
from harness.measure.bisection import order
from harness.run.job import Options, evaluate
from harness.trust.diagnosis.series import read
from harness.trust.verify.verify import VerifyOptions, verify
from harness.types import AttackSpec

FGSM = AttackSpec("fgsm", "torchattacks", "fgsm", {})
PGD = AttackSpec("pgd", "torchattacks", "pgd", {"steps": 5, "step_size": "epsilon/4", "random_start": True})
GRID = tuple(f"{k}/255" for k in range(2, 31, 4))
CPU = VerifyOptions(device="cpu")


def suite(*attacks, grid=GRID, mode="bisection", chunk=16):
    return Suite(
        name="toy", version=1, norm="linf", grid=parse_grid(grid, "linf"), mode=mode, chunk=chunk, attacks=attacks
    )


def step(model):
    """Breaks a linear model exactly where its margin ends; counts the rows that it is asked about."""
    asked = []

    def play(observer, problem):
        asked.append((problem.epsilon, len(problem.images)))
        sign = torch.where(problem.labels == 1, -1.0, 1.0)[:, None]
        moved = problem.images + problem.epsilon * (sign * model.weight.detach().sign()).view_as(problem.images)
        observer(moved.clamp(0, 1))
        return moved.clamp(0, 1)

    return play, asked


@given(st.integers(0, 70))
def test_every_place_is_visited_once_and_halves_what_is_left(n):
    places = order(n)
    assert sorted(places) == list(range(n))
    for at, place in enumerate(places):
        seen = [-1, *places[:at], n]
        low, high = max(p for p in seen if p < place), min(p for p in seen if p > place)
        assert abs((place - low) - (high - place)) <= 1


def test_the_same_samples_break_for_a_logarithm_of_the_attacks(tmp_path, monkeypatch):
    model = Linear()
    data = labeled(model, 60, low=0.4, high=0.6)
    needed = model.margin(data.images, "linf")
    top = float(torch.quantile(needed, 0.8))
    grid = [f"{top * (k + 1) / 16:.6f}" for k in range(16)]
    broken, asked = {}, {}
    for mode in ("observed", "bisection"):
        play, asked[mode] = step(model)
        monkeypatch.setattr(Suite, "resolve", lambda self, play=play: (scripted(play, iterative=True),))
        chosen = suite(AttackSpec("s", "test", "scripted", {}), grid=grid, mode=mode, chunk=60)
        run = evaluate(loaded(model, 2), chosen, data, Options(tmp_path, batch_size=60))
        whole = [row for row in run.facts.to_pylist() if row["attack"] != facts.CLEAN]
        broken[mode] = {(row["sample_id"], row["epsilon"]) for row in whole if row["outcome"] in facts.BROKEN}
        cells = run.summary["cells"]
    assert broken["bisection"] == broken["observed"]
    assert len({at for _, at in broken["bisection"]}) > 10
    rows = {mode: sum(n for _, n in seen) for mode, seen in asked.items()}
    assert rows["bisection"] <= 60 * math.ceil(math.log2(17)) < rows["observed"]
    assert rows["bisection"] == sum(cell["forwards"] for cell in cells)
    assert sum(cell["implied"] for cell in cells) > 60


def test_it_is_weaker_where_an_attack_misses_at_a_large_epsilon(tmp_path, monkeypatch):
    model = Linear()
    data = labeled(model, 40, low=0.45, high=0.55)
    wide = float(model.margin(data.images, "linf").max())
    grid = [f"{wide * factor:.6f}" for factor in (1.1, 1.5, 2.0)]
    small = float(grid[0]) * 1.01

    def only_small(observer, problem):
        moved = step(model)[0](observer, problem)
        return moved if problem.epsilon < small else problem.images

    def play(observer, problem):
        return only_small(lambda images: None, problem)

    left = {}
    for mode in ("observed", "bisection"):
        monkeypatch.setattr(Suite, "resolve", lambda self: (scripted(play, iterative=True),))
        chosen = suite(AttackSpec("s", "test", "scripted", {}), grid=grid, mode=mode, chunk=40)
        run = evaluate(loaded(model, 2), chosen, data, Options(tmp_path, batch_size=40))
        left[mode] = [cell["robust_accuracy"] for cell in run.summary["cells"]]
    assert left == {"observed": [0.0] * 3, "bisection": [1.0] * 3}


@pytest.fixture(scope="module")
def model():
    return SmallNet()


@pytest.fixture(scope="module")
def data(model):
    return labeled(model, 40, wrong=4)


@pytest.fixture(scope="module")
def whole(model, data, tmp_path_factory):
    chosen = suite(FGSM, PGD, CASCADE)
    return evaluate(loaded(model, 5), chosen, data, Options(tmp_path_factory.mktemp("whole"), batch_size=16))


def ordered(run):
    keys = [("attack", "ascending"), ("component", "ascending"), ("epsilon", "ascending"), ("sample_id", "ascending")]
    return run.facts.sort_by(keys)


def test_such_a_run_is_sound(whole, model, data, tmp_path):
    verdict = verify(whole.folder, loaded(model, 5), data, dataclasses.replace(CPU, replay=20))
    assert [finding.message for finding in verdict.problems] == []
    for bound in verdict.bounds:
        assert bound.at_most == bound.claimed, bound
    lean = suite(FGSM, PGD, CASCADE)
    kept = evaluate(loaded(model, 5), lean, data, Options(tmp_path, batch_size=16, witnesses="worst"))
    assert not verify(kept.folder, loaded(model, 5), data, CPU).problems
    rows = whole.facts.to_pylist()
    assert sum(row["reason"] == IMPLIED for row in rows) > 20
    assert {row["attack"] for row in rows if row["reason"] == IMPLIED} == {"pgd", "short"}
    assert sum(row["outcome"] == "inherited" for row in rows) > 20


def test_it_resumes_to_the_same_facts_and_finds_its_units_again(whole, model, data, tmp_path):
    chosen = suite(FGSM, PGD, CASCADE)
    for stop in (5, 12, 20):
        run = evaluate(loaded(model, 5), chosen, data, Options(tmp_path, batch_size=16), StopAfter(stop))
        assert run.info.status == "interrupted"
    again = evaluate(loaded(model, 5), chosen, data, Options(tmp_path, batch_size=16))
    assert ordered(again).equals(ordered(whole))
    more = AttackSpec("more", "torchattacks", "pgd", dict(PGD.params))
    extended = evaluate(loaded(model, 5), suite(FGSM, PGD, CASCADE, more), data, Options(tmp_path, batch_size=16))
    assert extended.info.reused == 3 * 3 * len(GRID)
    kept = [row for row in extended.facts.to_pylist() if row["attack"] != "more"]
    key = json.dumps
    assert sorted(map(key, kept)) == sorted(map(key, whole.facts.to_pylist()))


def test_no_survival_can_be_called_implied_without_one_above(whole, model, data, tmp_path):
    forger = Forger(whole.folder, tmp_path / "forged", data)
    rows = forger.all_facts()
    place = max(row["epsilon"] for row in rows)
    target = next(
        row for row in rows
        if row["attack"] == "pgd" and row["outcome"] == "survived" and row["epsilon"] == place
    )  # fmt: skip

    def hide(row):
        mine = row["sample_id"] == target["sample_id"] and row["attack"] == "pgd"
        return {**row, "reason": IMPLIED, "forwards": 0, "backwards": 0} if mine else row

    forger.edit_facts(hide)
    forger.recount()
    verdict = verify(forger.folder, loaded(model, 5), data, CPU)
    assert "implied" in {finding.check for finding in verdict.problems}


def test_the_components_end_where_the_cascade_does(whole):
    cells = [cell for cell in whole.summary["cells"] if cell["attack"] == "short"]
    assert len(cells) == len(GRID)
    assert sum(cell["implied"] for cell in cells) > 5
    for cell in cells:
        shares = [part["robust_accuracy"] for part in cell["components"]]
        assert shares == sorted(shares, reverse=True)
        assert shares[-1] == cell["robust_accuracy"]


def test_only_what_was_attacked_is_diagnosed_as_attacked(whole):
    for one in read(whole.info.suite.attacks, whole.facts):
        assert (one.forwards[one.attacked] > 0).all(), (one.name, one.label)


def test_an_epsilon_that_fails_leaves_a_gap_and_no_contradiction(model, data, tmp_path, monkeypatch):
    def play(observer, problem):
        if problem.epsilon in (grid[1].value, grid[3].value):
            raise RuntimeError("not today")
        start = problem.images.clone().requires_grad_()
        (slope,) = torch.autograd.grad(observer(start)[range(len(start)), problem.labels].sum(), start)
        moved = (problem.images - problem.epsilon * slope.sign()).clamp(0, 1).detach()
        observer(moved)
        return moved

    grid = parse_grid([f"{k}/255" for k in (2, 4, 6, 8, 12, 16, 24)], "linf")
    chosen = suite(AttackSpec("s", "test", "scripted", {}), grid=[epsilon.label for epsilon in grid])
    monkeypatch.setattr(Suite, "resolve", lambda self: (scripted(play, iterative=True),))
    run = evaluate(loaded(model, 5), chosen, data, Options(tmp_path, batch_size=16))
    status = [cell["status"] for cell in run.summary["cells"]]
    assert (status[1], status[3]) == ("missing", "missing")
    assert status[0] == status[2] == status[5] == "ok"
    assert [cell["broken"] for cell in run.summary["cells"]][2] > 0
    problems = [finding.message for finding in verify(run.folder, loaded(model, 5), data, CPU).problems]
    assert not [text for text in problems if "yet said to have survived" in text], problems


def test_in_other_modes_nothing_is_implied(model, data, tmp_path):
    run = evaluate(loaded(model, 5), suite(PGD, mode="observed"), data, Options(tmp_path / "o", batch_size=16))
    forger = Forger(run.folder, tmp_path / "forged", data)
    forger.edit_facts(lambda row: {**row, "reason": IMPLIED} if row["outcome"] == "survived" else row)
    forger.recount()
    verdict = verify(forger.folder, loaded(model, 5), data, CPU)
    assert any("the reason does not fit" in finding.message for finding in verdict.problems)
