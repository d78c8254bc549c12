"""The measuring core as a whole: exact on linear models, leaving no trace in model or generators."""

import copy
import random

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from observed import outcomes_at, sorted_facts, suite
from toys import Linear, SmallNet, labeled, loaded

from harness.base.threat import distance, inside_ball, inside_box, parse_epsilon, parse_grid
from harness.evidence import facts, witnesses
from harness.evidence.metrics import cells
from harness.evidence.store import RunStore
from harness.inputs.reference import ReferenceModel
from harness.inputs.suite import Suite
from harness.measure.unit.compute import run_unit
from harness.measure.unit.job import Job, Setting
from harness.measure.unit.outcome import Chunk
from harness.run.job import Options, evaluate
from harness.types import AttackSpec


@pytest.mark.parametrize(("norm", "method"), [("linf", "fgsm"), ("linf", "pgd"), ("l2", "pgdl2")])
def test_a_linear_model_is_broken_exactly_where_its_margin_says(tmp_path, norm, method):
    """The boundary is known: a sample survives below its margin and falls above it, with a gap of 1 % for rounding."""
    model = Linear()
    data = labeled(model, 64, low=0.35, high=0.65)
    needed = model.margin(data.images, norm)
    grid = [f"{float(q):.6f}" for q in torch.quantile(needed, torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64))]
    assert float(grid[-1]) < 0.35
    run = evaluate(loaded(model, 2), suite(grid, norm, method), data, Options(tmp_path))
    for label in run.summary["grid"]:
        survived = outcomes_at(run, label)
        epsilon = parse_epsilon(label, norm).value
        broken, standing = needed < epsilon * 0.99, needed > epsilon * 1.01
        assert broken.any()
        assert standing.any()
        assert not any(survived[i] for i in broken.nonzero().flatten().tolist())
        assert all(survived[i] for i in standing.nonzero().flatten().tolist())


def test_full_epsilon_fgsm_on_eight_bit_images_loses_none_to_rounding(tmp_path):
    model = Linear()
    data = labeled(model, 200, low=0.2, high=0.8, eight_bit=True)
    needed = model.margin(data.images, "linf")
    run = evaluate(loaded(model, 2), suite(("1/255",), method="fgsm", chunk=64), data, Options(tmp_path))
    must = (needed < 0.999 / 255).nonzero().flatten().tolist()
    assert len(must) > 5
    survived = outcomes_at(run, "1/255")
    assert not any(survived[i] for i in must)


@pytest.mark.parametrize("mode", ["observed", "watch", "faithful"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_no_witness_ever_leaves_ball_or_box(tmp_path, mode, norm):
    model = SmallNet()
    data = labeled(model, 40, wrong=5)
    method, grid = ("pgd", ("1/255", "4/255", "16/255")) if norm == "linf" else ("pgdl2", ("0.1", "0.5", "1.5"))
    run = evaluate(loaded(model, 5), suite(grid, norm, method, mode=mode), data, Options(tmp_path))
    count = 0
    for table in RunStore(run.folder).all_witnesses():
        images, labels = data.take(table["sample_id"].to_pylist())
        back = witnesses.decode(table["image"].to_pylist(), images)
        reach = distance(back, images, norm)
        assert inside_box(back).all()
        for row, epsilon in enumerate(table["epsilon"].to_pylist()):
            assert inside_ball(reach[row : row + 1], epsilon, norm).all()
        with torch.no_grad():
            predictions = model(back).argmax(1)
        assert (predictions != labels).all()
        assert predictions.tolist() == table["adv_pred"].to_pylist()
        assert np.allclose(reach.numpy(), table["distance"].to_numpy(), rtol=0, atol=0)
        count += len(images)
    broken = {c.epsilon_label: c.broken for c in cells(run.facts)}
    assert count >= max(broken.values()) > 10


def bare_pgd(model, images, labels, epsilon, seed):
    """What a user would write: torchattacks alone, with the seed the harness would use."""
    import torchattacks

    from harness.base.randomness import forked

    with forked(seed):
        attack = torchattacks.PGD(model, eps=epsilon, alpha=epsilon / 4, steps=10, random_start=True)
        return attack(images, labels)


@pytest.mark.torchattacks
@pytest.mark.parametrize("seed", range(5))
def test_promise_a_observation_never_loses_what_the_bare_tool_breaks(seed):
    """One epsilon, one chunk, equal draws, frozen rows kept in the batch: a superset, without exception."""
    from harness.base.randomness import derive

    model = SmallNet(seed=seed)
    data = labeled(model, 48, seed=seed)
    chosen = suite(("4/255",), steps=10)
    (attack,) = chosen.resolve()
    with ReferenceModel(loaded(model, 5)) as reference:
        chunk = Chunk(
            index=0,
            sample_ids=np.arange(48),
            images=data.images,
            labels=data.labels,
            clean_pred=reference.logits(data.images).argmax(1),
        )
        job = Job(
            setting=Setting(
                reference=reference, norm="linf", mode="observed", seed=seed, batch_size=48, keep_rows=True
            ),
            attack=attack,
            spec=chosen.attacks[0],
            grid=chosen.grid,
            chunk=chunk,
        )
        found = run_unit(job).facts
        epsilon = chosen.grid[0].value
        bare = bare_pgd(model, data.images, data.labels, epsilon, derive(seed, "attack", None, epsilon, 0, 0))
        by_bare = model(bare).argmax(1) != data.labels
    ours = np.isin(found["outcome"].to_numpy(zero_copy_only=False), facts.BROKEN)
    assert by_bare.any()
    assert not by_bare.all()
    assert not (by_bare.numpy() & ~ours).any()


def test_faithful_mode_gives_the_bare_tools_own_numbers(tmp_path):
    from harness.base.randomness import derive

    model = SmallNet()
    data = labeled(model, 32)
    run = evaluate(loaded(model, 5), suite(mode="faithful", chunk=32), data, Options(tmp_path, batch_size=32))
    order = run.facts.filter(pc.equal(run.facts["attack"], "clean"))["sample_id"].to_pylist()
    for epsilon in suite().grid:
        images, labels = data.take(order)
        bare = bare_pgd(model.eval(), images, labels, epsilon.value, derive(0, "attack", None, epsilon.value, 0, 0))
        with torch.no_grad():
            standing = model(bare).argmax(1) == labels
        assert outcomes_at(run, epsilon.label) == dict(zip(order, standing.tolist(), strict=True))


def snapshot(model):
    return copy.deepcopy(model.state_dict()), [m.training for m in model.modules()], [
        (p.requires_grad, None if p.grad is None else p.grad.clone()) for p in model.parameters()
    ]  # fmt: skip


@pytest.mark.parametrize("mode", ["observed", "watch", "faithful"])
def test_model_and_generators_are_left_as_they_were(tmp_path, mode):
    model = SmallNet()
    data = labeled(model, 20)
    model.train()
    model.body[1].eval()  # mixed modes must come back mixed
    first, *_, last = model.parameters()
    first.requires_grad_(False)
    last.grad = torch.ones_like(last)
    state, modes, gradients = snapshot(model)
    before = data.images.clone()
    generators = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    evaluate(loaded(model, 5), suite(mode=mode), data, Options(tmp_path))
    after_state, after_modes, after_gradients = snapshot(model)
    assert all(torch.equal(state[name], after_state[name]) for name in state)
    assert modes == after_modes
    for (flag, gradient), (after_flag, after) in zip(gradients, after_gradients, strict=True):
        assert flag == after_flag
        assert (gradient is None) == (after is None)
        assert gradient is None or torch.equal(gradient, after)
    assert torch.equal(before, data.images)
    assert torch.equal(generators[0], torch.get_rng_state())
    assert np.array_equal(generators[1], np.random.get_state()[1])
    assert generators[2] == random.getstate()


def test_facts_survive_the_round_trip_and_say_everything(tmp_path):
    model = SmallNet()
    run = evaluate(loaded(model, 5), suite(), labeled(model, 40, wrong=4), Options(tmp_path))
    stored = RunStore(run.folder).all_facts()
    key = [("attack", "ascending"), ("epsilon", "ascending"), ("sample_id", "ascending")]
    assert stored.sort_by(key).equals(run.facts.sort_by(key))
    assert len(stored) == 40 * (1 + 3)
    outcomes = stored["outcome"].to_pylist()
    assert outcomes.count("clean_wrong") == 4 * 4
    assert {"witness", "inherited", "survived"} <= set(outcomes)
    for row in stored.to_pylist():
        if row["outcome"] == "inherited":
            assert row["origin_epsilon"] < row["epsilon"]
            assert row["forwards"] == 0
        if row["outcome"] in facts.BROKEN:
            assert row["margin"] > 0
            assert row["adv_pred"] != row["label"]


def test_epsilon_zero_is_clean_accuracy_without_a_tool(tmp_path):
    model = SmallNet()
    run = evaluate(loaded(model, 5), suite(("0", "1/255")), labeled(model, 20, wrong=3), Options(tmp_path))
    zero = run.summary["cells"][0]
    assert (zero["epsilon_label"], zero["robust_accuracy"], zero["forwards"]) == ("0", 17 / 20, 0)


def test_one_witness_a_sample_is_kept_when_asked(tmp_path):
    model = SmallNet()
    data = labeled(model, 40)
    two = Suite(
        name="toy",
        version=1,
        norm="linf",
        grid=parse_grid(["2/255", "8/255"]),
        mode="observed",
        chunk=16,
        attacks=(
            AttackSpec("fgsm", "torchattacks", "fgsm", {}),
            AttackSpec("pgd", "torchattacks", "pgd", {"steps": 5, "step_size": "epsilon/4", "random_start": True}),
        ),
    )
    every = evaluate(loaded(model, 5), two, data, Options(tmp_path / "all", witnesses="all"))
    worst = evaluate(loaded(model, 5), two, data, Options(tmp_path / "worst", witnesses="worst"))
    none = evaluate(loaded(model, 5), two, data, Options(tmp_path / "none", witnesses="none"))

    def kept(run):
        return [row for table in RunStore(run.folder).all_witnesses() for row in table.to_pylist()]

    assert sorted_facts(every).equals(sorted_facts(worst))
    pairs = [(row["sample_id"], row["attack"]) for row in kept(every)]
    assert len(pairs) == len(set(pairs))
    smallest = {}
    for row in kept(every):
        smallest[row["sample_id"]] = min(row["epsilon"], smallest.get(row["sample_id"], 9))
    assert {row["sample_id"]: row["epsilon"] for row in kept(worst)} == smallest
    assert len(kept(worst)) == len(smallest)
    assert kept(none) == []
