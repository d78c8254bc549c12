"""Attacks on a prefix of the slice, in chunks of their own, and only on what the attacks before left."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from toys import CASCADE, Linear, SmallNet, StopAfter, labeled, loaded, scripted

from harness.base.threat import parse_grid
from harness.evidence import facts
from harness.inputs.samples import make_slice
from harness.inputs.suite import Suite
from harness.measure.executors.schedule import Schedule
from harness.measure.lanes import Lane, all_lanes, needs
from harness.run.job import Options, evaluate
from harness.types import AttackSpec

FGSM = AttackSpec("fgsm", "torchattacks", "fgsm", {})
PGD = AttackSpec("pgd", "torchattacks", "pgd", {"steps": 5, "step_size": "epsilon/4", "random_start": True})
N, PREFIX, PIECE = 40, 24, 8
DEAR = dataclasses.replace(CASCADE, n=PREFIX, chunk=PIECE, after="all")


def suite(*attacks, grid=("2/255", "8/255", "16/255"), mode="observed", chunk=16):
    return Suite(
        name="toy",
        version=1,
        norm="linf",
        grid=parse_grid(grid),
        mode=mode,
        chunk=chunk,
        attacks=attacks or (FGSM, PGD, DEAR),
    )


def run(folder, chosen, data, reporter=None, model=None, **options):
    model = SmallNet() if model is None else model
    given = Options(folder, batch_size=16, device="cpu", precision="exact", **options)
    return evaluate(loaded(model, len(data.classes)), chosen, data, given, reporter)


def ordered(found):
    return found.sort_by([(name, "ascending") for name in ("attack", "component", "epsilon", "sample_id")])


def of(found, attack):
    return ordered(found.filter(pc.equal(found["attack"], attack)))


@pytest.mark.parametrize("after", [None, "all"])
@pytest.mark.parametrize("mode", ["observed", "worst-case"])
def test_a_prefix_has_the_facts_of_a_complete_run(tmp_path, after, mode):
    """Bit for bit: seeds, batches and logit ranges are those of the attack's own chunks."""
    data = labeled(SmallNet(), N, wrong=4)
    dear = dataclasses.replace(DEAR, after=after)
    part = run(tmp_path / "a", suite(FGSM, PGD, dear, mode=mode), data)
    whole = run(tmp_path / "b", suite(FGSM, PGD, dataclasses.replace(dear, n=None), mode=mode), data)
    drawn = make_slice(data, None, 16).indices[:PREFIX]
    mine, theirs = of(part.facts, "short"), of(whole.facts, "short")
    assert set(mine["sample_id"].to_pylist()) == set(drawn.tolist())  # what was not drawn is no row
    assert len(mine) == PREFIX * 3 * 3  # the cascade and its two components at three epsilons
    assert mine.equals(theirs.filter(pc.is_in(theirs["sample_id"], pc.cast(drawn, "int64"))))
    for attack in ("clean", "fgsm", "pgd"):
        assert of(part.facts, attack).equals(of(whole.facts, attack))
    names = {path.name for path in (part.folder / "facts").glob("short@2_255-*")}
    assert names == {f"short@2_255-0000{piece}.parquet" for piece in range(PREFIX // PIECE)}


def test_a_chunk_of_its_own_is_the_chunk_of_a_suite_of_that_chunk(tmp_path):
    data = labeled(SmallNet(), N)
    own = run(tmp_path / "a", suite(FGSM, dataclasses.replace(PGD, chunk=PIECE)), data)
    same = run(tmp_path / "b", suite(FGSM, PGD, chunk=PIECE), data)
    assert of(own.facts, "pgd").equals(of(same.facts, "pgd"))


def marked(model, every, seen, name):
    """An attack that breaks what lies in the ball, but only rows whose first pixel says so."""

    def play(observer, problem):
        seen.append((name, problem.epsilon, problem.images.clone()))
        sign = torch.where(problem.labels == 1, -1.0, 1.0)[:, None]
        moved = problem.images + problem.epsilon * (sign * model.weight.detach().sign()).view_as(problem.images)
        mine = (problem.images.flatten(1)[:, 0] * 100).long() % every == 0
        return torch.where(mine.view(-1, 1, 1, 1), moved.clamp(0, 1), problem.images)

    return play


def test_after_all_is_given_only_what_nobody_before_broke_at_this_or_a_smaller_epsilon(tmp_path, monkeypatch):
    model = Linear()
    data = labeled(model, N, low=0.35, high=0.65)
    needed = model.margin(data.images, "linf")
    grid = [f"{float(q):.6f}" for q in torch.quantile(needed, torch.tensor([0.3, 0.6, 0.9], dtype=torch.float64))]
    seen = []
    # The first attack does not inherit: what it breaks at a small epsilon, it may miss at a larger one.
    first = scripted(marked(model, 2, seen, "first"), iterative=False)
    second = scripted(marked(model, 3, seen, "second"), iterative=True)
    last = scripted(marked(model, 1, seen, "last"), iterative=True)
    monkeypatch.setattr(Suite, "resolve", lambda self: (first, second, last))
    specs = [AttackSpec("first", "test", "scripted"), AttackSpec("second", "test", "scripted")]
    specs.append(AttackSpec("last", "test", "scripted", n=24, chunk=8, after="all"))
    done = run(tmp_path, suite(*specs, grid=grid), data, model=model)
    drawn = make_slice(data, None, 16).indices[:24]
    pixel = (data.images.flatten(1)[:, 0] * 100).long().numpy()
    given = {}
    for name, epsilon, images in seen:
        given.setdefault((name, epsilon), []).append(images)
    for epsilon in done.info.suite.epsilons:
        falls = needed.numpy() < epsilon
        broken = falls & ((pixel % 2 == 0) | (pixel % 3 == 0))
        own = needed.numpy() < max([e for e in done.info.suite.epsilons if e < epsilon], default=0)  # inherited
        left = [i for i in drawn.tolist() if not broken[i] and not own[i]]
        images = torch.cat(given["last", epsilon])
        assert torch.equal(images, data.images[left])
        assert sum(len(images) for images in given["first", epsilon]) == N  # nobody is spared anything before
    taken = of(done.facts, "last").filter(pc.equal(of(done.facts, "last")["source"], "transfer"))
    assert len(taken) > 0
    assert set(taken["outcome"].to_pylist()) <= set(facts.BROKEN)


FAB = AttackSpec("fab-t", "autoattack", "fab-t", {"steps": 10, "target_classes": 3}, PREFIX, PIECE, "all")


@pytest.mark.parametrize("mode", ["observed", "worst-case"])
def test_an_attack_that_runs_once_is_spared_what_broke_at_the_smallest_epsilon(tmp_path, mode):
    data = labeled(SmallNet(), N, wrong=4)
    grid = ("6/255", "8/255", "16/255")
    both = run(tmp_path / "a", suite(FGSM, PGD, FAB, mode=mode, grid=grid), data)
    alone = run(tmp_path / "b", suite(dataclasses.replace(FAB, n=None, after=None), grid=grid), data)
    drawn = make_slice(data, None, 16).indices[:PREFIX].tolist()
    epsilons = both.info.suite.epsilons
    fell, own = {}, {}
    for row in both.facts.filter(pc.is_in(both.facts["attack"], pa.array(["fgsm", "pgd"]))).to_pylist():
        if row["outcome"] in facts.BROKEN:
            fell[row["sample_id"]] = min(fell.get(row["sample_id"], 1.0), row["epsilon"])
    for row in of(alone.facts, "fab-t").to_pylist():
        own[row["sample_id"], row["epsilon"]] = row["outcome"]
    seen = {"spared": 0, "transfer": 0, "own": 0, "asked": 0}
    rows = of(both.facts, "fab-t").to_pylist()
    assert len(rows) == PREFIX * len(epsilons)
    for row in rows:
        sample, epsilon = row["sample_id"], row["epsilon"]
        assert sample in drawn
        spared = fell.get(sample, 1.0) <= epsilons[0]
        if fell.get(sample, 1.0) <= epsilon:
            assert (row["outcome"], row["source"]) == ("witness", "transfer")
            seen["spared" if spared else "transfer"] += 1
        else:
            assert row["outcome"] == own[sample, epsilon]
            seen["own"] += row["outcome"] == "witness"
        if row["outcome"] != "clean_wrong" and epsilon == epsilons[-1]:
            assert (row["forwards"] > 0) != spared  # paid for once, at the largest epsilon
            seen["asked"] += not spared
    assert all(seen.values()), seen
    assert {path.name for path in (both.folder / "facts").glob("fab-t@*")} == {
        f"fab-t@grid-0000{piece}.parquet" for piece in range(PREFIX // PIECE)
    }


def test_earlier_attacks_never_see_later_witnesses_nor_pools(tmp_path):
    """That would filter the prefix harder than the rest, and the estimate would be too low."""
    data = labeled(SmallNet(), N)
    alone = run(tmp_path / "a", suite(FGSM, PGD), data)
    strong = dataclasses.replace(PGD, id="pgd-40", params=PGD.params | {"steps": 40}, n=16)
    both = run(tmp_path / "b", suite(FGSM, PGD, strong, dataclasses.replace(DEAR, n=16)), data)
    for attack in ("fgsm", "pgd"):
        assert of(both.facts, attack).equals(of(alone.facts, attack))
    pool = run(tmp_path / "pool", suite(FGSM, PGD), data, model=SmallNet(seed=3), force=True)
    assert (pool.folder / "witnesses").is_dir()
    offered = run(tmp_path / "c", suite(), data, transfer=(pool.folder,))
    plain = run(tmp_path / "d", suite(), data)
    assert any(finding.check == "P26" for finding in offered.info.findings)
    assert ordered(offered.facts).equals(ordered(plain.facts))


@pytest.mark.parametrize("witnesses", ["all", "worst"])
def test_such_a_run_resumes_to_the_same_facts(tmp_path, witnesses):
    data = labeled(SmallNet(), N, wrong=2)
    whole = run(tmp_path / "whole", suite(), data, witnesses=witnesses)
    for units in (4, 13, 22, 28):
        assert run(tmp_path / "b", suite(), data, StopAfter(units), witnesses=witnesses).info.status == "interrupted"
        before = sorted((tmp_path / "b").rglob("facts/*.parquet"))
        (tmp_path / "b" / ".units").rename(tmp_path / f"gone-{units}")  # so that the disk alone helps
    again = run(tmp_path / "b", suite(), data, witnesses=witnesses)
    assert len(before) < len(sorted((tmp_path / "b").rglob("facts/*.parquet")))
    assert ordered(again.facts).equals(ordered(whole.facts))
    seen = []

    class Watch(StopAfter):
        def finished(self, done):
            seen.append(done.result is None)

    run(tmp_path / "b", suite(), data, Watch(10**9), witnesses=witnesses)
    assert all(seen)  # nothing is measured again, though witnesses were thinned
    assert not list((tmp_path / "b").rglob("*.torn"))


def test_another_prefix_takes_its_units_from_the_cache(tmp_path):
    data = labeled(SmallNet(), N)
    run(tmp_path, suite(), data)
    longer = run(tmp_path, suite(FGSM, PGD, dataclasses.replace(DEAR, n=32)), data)
    clean, attacks, grid = 3, 2 * 3, 3
    assert longer.info.reused == attacks * grid + 3 * grid  # three of four pieces
    assert longer.info.reused + clean + grid == len(list((longer.folder / "facts").glob("*.parquet")))


def test_lanes_need_each_other_in_the_suite_s_order():
    chosen = suite(FGSM, dataclasses.replace(PGD, n=32, chunk=16), DEAR)
    attacks = chosen.resolve()
    lanes = all_lanes(chosen, N)
    dear = [lane for lane in lanes if lane.attack == 2]
    assert dear == [Lane(2, 0, 0), Lane(2, 0, 1), Lane(2, 1, 0)]
    assert needs(chosen, attacks, Lane(2, 1, 0), N) == [Lane(None, 1), Lane(0, 1), Lane(1, 1)]
    assert needs(chosen, attacks, Lane(1, 1), N) == [Lane(None, 1)]  # it is not said to come after anybody
    short = suite(dataclasses.replace(FGSM, chunk=4), dataclasses.replace(PGD, after="all", chunk=8))
    # The last chunk has 8 of 16 rows, and two pieces of four: none is waited for that does not exist.
    assert needs(short, short.resolve(), Lane(1, 2, 0), N) == [Lane(None, 2), Lane(0, 2, 0), Lane(0, 2, 1)]
    for lane in lanes:
        before = lanes[: lanes.index(lane)]
        assert all(other in before for other in needs(chosen, attacks, lane, N))


def test_a_schedule_gives_a_lane_out_only_after_those_it_needs():
    chosen = suite()
    attacks = chosen.resolve()
    lanes = all_lanes(chosen, N)
    wanted = {lane: needs(chosen, attacks, lane, N) for lane in lanes}
    schedule = Schedule(lanes, lambda lane: 1 if lane.attack is None else 3, wanted.get)
    order = np.random.default_rng(0)
    out, done = [], []
    while not schedule.empty:
        while (task := schedule.take()) is not None:
            assert all(other in done for other in wanted[task.lane])
            out.append(task)
        task = out.pop(int(order.integers(len(out))))
        schedule.finished(task)
        if task.place == (0 if task.lane.attack is None else 2):
            done.append(task.lane)
    assert sorted(done, key=str) == sorted(lanes, key=str)
    # What is given up takes along what needs it, and what needs that.
    schedule = Schedule(lanes, lambda lane: 1, wanted.get)
    schedule.finished(schedule.take())
    task = schedule.take()
    assert task.lane == Lane(0, 0)
    schedule.drop(task)
    rest = []
    while (task := schedule.take()) is not None:
        rest.append(task.lane)
        schedule.finished(task)
    assert schedule.empty
    assert set(rest) == {lane for lane in lanes if lane != Lane(None, 0)} - {Lane(0, 0), Lane(2, 0, 0), Lane(2, 0, 1)}
