"""The measuring core as a whole: exact on linear models, resumable, leaving no trace in model or generators."""

import copy
import random

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from toys import Linear, SmallNet, StopAfter, Toy, labeled, loaded, scripted, uniform_images

from harness.base.threat import distance, inside_ball, inside_box, parse_epsilon, parse_grid
from harness.errors import BadData, BadRun, ModelRefused, UsageError
from harness.evidence import facts, witnesses
from harness.evidence.metrics import cells, sample_outcomes
from harness.evidence.store import RunStore
from harness.inputs.reference import ReferenceModel
from harness.inputs.suite import Suite
from harness.measure.unit.compute import Job, Setting, run_unit
from harness.measure.unit.outcome import Chunk
from harness.run.job import Options, evaluate
from harness.types import AttackSpec


def suite(grid=("1/255", "4/255", "8/255"), norm="linf", method="pgd", chunk=16, mode="observed", **params):
    if method == "pgd":
        params = {"steps": 10, "step_size": "epsilon/4", "random_start": True, **params}
    elif method == "pgdl2":
        params = {"steps": 20, "step_size": "epsilon/4", "random_start": True, **params}
    spec = AttackSpec("attack", "torchattacks", method, params)
    return Suite(name="toy", version=1, norm=norm, grid=parse_grid(grid, norm), mode=mode, chunk=chunk, attacks=(spec,))


def outcomes_at(run, label):
    epsilon = next(c.epsilon for c in cells(run.facts) if c.epsilon_label == label)
    return sample_outcomes(run.facts, "attack", epsilon)


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


def sorted_facts(run):
    return run.facts.sort_by([("attack", "ascending"), ("epsilon", "ascending"), ("sample_id", "ascending")])


@pytest.mark.parametrize("units", [1, 4, 7, 11])
def test_starting_again_continues_to_identical_facts(tmp_path, units):
    model = SmallNet()
    data = labeled(model, 40, wrong=3)
    whole = evaluate(loaded(model, 5), suite(), data, Options(tmp_path / "whole"))
    options = Options(tmp_path / "torn")
    first = evaluate(loaded(model, 5), suite(), data, options, StopAfter(units))
    assert first.info.status == "interrupted"
    assert not first.complete
    shards = {path: path.stat().st_mtime_ns for path in (first.folder / "facts").glob("*.parquet")}
    again = evaluate(loaded(model, 5), suite(), data, options)
    assert again.folder == first.folder
    assert again.complete
    assert sorted_facts(again).equals(sorted_facts(whole))
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in shards.items())


def test_a_torn_shard_is_computed_again(tmp_path):
    model = SmallNet()
    data = labeled(model, 40)
    whole = evaluate(loaded(model, 5), suite(), data, Options(tmp_path))
    shard = sorted((whole.folder / "facts").glob("attack@4_255-*"))[0]
    shard.write_bytes(shard.read_bytes()[:100])
    again = evaluate(loaded(model, 5), suite(), data, Options(tmp_path))
    assert sorted_facts(again).equals(sorted_facts(whole))
    assert [f["check"] for f in again.summary["findings"]] == ["torn"]


def test_fresh_starts_over_and_other_settings_are_other_runs(tmp_path):
    model = SmallNet()
    data = labeled(model, 20)
    first = evaluate(loaded(model, 5), suite(), data, Options(tmp_path))
    fresh = evaluate(loaded(model, 5), suite(), data, Options(tmp_path, fresh=True))
    assert fresh.info.sessions == 1
    assert sorted_facts(fresh).equals(sorted_facts(first))
    others = [
        evaluate(loaded(model, 5), suite(), data, Options(tmp_path, seed=1)),
        evaluate(loaded(model, 5), suite(("1/255", "8/255")), data, Options(tmp_path)),
        evaluate(loaded(model, 5), suite(steps=11), data, Options(tmp_path)),
        evaluate(loaded(model, 5), suite(mode="faithful"), data, Options(tmp_path)),
        evaluate(loaded(model, 5), suite(), data, Options(tmp_path, n=10)),
        evaluate(loaded(SmallNet(seed=9), 5), suite(), data, Options(tmp_path, force=True)),  # it only guesses
        evaluate(loaded(model, 5), suite(), labeled(model, 20, seed=5), Options(tmp_path)),
    ]
    assert len({run.folder for run in (first, *others)}) == 8


def test_a_smaller_n_is_the_beginning_of_a_larger_one(tmp_path):
    """Slices are nested and chunks aligned, so that figures at small n are about the same samples."""
    model = SmallNet()
    data = labeled(model, 40)
    small = evaluate(loaded(model, 5), suite(), data, Options(tmp_path, n=16, batch_size=16))
    large = evaluate(loaded(model, 5), suite(), data, Options(tmp_path, n=40, batch_size=16))
    for label in suite().grid:
        few, many = outcomes_at(small, label.label), outcomes_at(large, label.label)
        assert few.items() <= many.items()


def test_a_failing_tool_leaves_a_missing_cell_and_the_others_go_on(tmp_path, monkeypatch):
    model = SmallNet()
    data = labeled(model, 20, wrong=2)
    both = Suite(
        name="toy",
        version=1,
        norm="linf",
        grid=parse_grid(["4/255"]),
        mode="observed",
        chunk=16,
        attacks=(
            AttackSpec("bad", "test", "x", {}),
            AttackSpec("good", "torchattacks", "fgsm", {}),
        ),
    )

    def explode(model, problem):
        model(problem.images)
        raise ValueError("tool\nfell over")

    good = both.attacks[1]
    real = Suite(name="t", version=1, norm="linf", grid=both.grid, mode="observed", chunk=16, attacks=(good,)).resolve()
    monkeypatch.setattr(Suite, "resolve", lambda self: (scripted(explode), *real))
    run = evaluate(loaded(model, 5), both, data, Options(tmp_path))
    bad, fine = run.summary["cells"]
    assert (bad["status"], bad["robust_accuracy"], bad["ci95"]) == ("missing", None, None)
    assert fine["status"] == "ok"
    assert run.summary["worst_case"][0]["robust_accuracy"] is None
    assert not run.complete
    assert any("ValueError: tool fell over" in f["message"] for f in run.summary["findings"])
    assert "fell over" in (run.folder / "log.txt").read_text()


def test_witnesses_found_before_a_failure_stand(tmp_path, monkeypatch):
    model = Linear()
    data = labeled(model, 20)

    def half(observer, problem):
        sign = torch.where(problem.labels == 1, -1.0, 1.0)[:, None]
        moved = problem.images + problem.epsilon * (sign * model.weight.detach().sign()).view_as(problem.images)
        observer(moved.clamp(0, 1))
        raise RuntimeError("after the best query")

    monkeypatch.setattr(Suite, "resolve", lambda self: (scripted(half),))
    run = evaluate(loaded(model, 2), suite(("8/255",), method="fgsm"), data, Options(tmp_path))
    (cell,) = run.summary["cells"]
    assert cell["status"] == "partial"
    assert cell["broken"] > 0


def test_images_outside_the_box_are_refused(tmp_path):
    model = SmallNet()
    data = labeled(model, 8)
    normalized = Toy(data.images * 4 - 2, data.labels, data.classes)
    with pytest.raises(BadData, match=r"expected \[0,1\]"):
        evaluate(loaded(model, 5), suite(), normalized, Options(tmp_path))
    broken = Toy(data.images.clone(), data.labels, data.classes)
    broken.images[3, 0, 0, 0] = float("nan")
    with pytest.raises(BadData):
        evaluate(loaded(model, 5), suite(), broken, Options(tmp_path))


def test_a_wrong_class_count_is_refused(tmp_path):
    model = SmallNet(classes=5)
    data = labeled(model, 8)
    with pytest.raises(ModelRefused, match="7 classes, data set 'toy' has 9"):
        evaluate(loaded(model, 7), suite(), Toy(data.images, data.labels, list("abcdefghi")), Options(tmp_path))
    with pytest.raises(ModelRefused, match="expected logits"):
        evaluate(loaded(model, 6), suite(), data, Options(tmp_path))
    wrong = Toy(data.images, data.labels + 90, data.classes)
    with pytest.raises(BadData, match="labels from"):
        evaluate(loaded(model, 5), suite(), wrong, Options(tmp_path))


def test_unusable_options_are_refused(tmp_path):
    model = SmallNet()
    data = labeled(model, 8)
    for options in (Options(tmp_path, n=0), Options(tmp_path, n=9), Options(tmp_path, batch_size=0),
                    Options(tmp_path, device="cuda:99"), Options(tmp_path, witnesses="some")):  # fmt: skip
        with pytest.raises(UsageError):
            evaluate(loaded(model, 5), suite(), data, options)
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(BadRun, match="cannot be written"):
        evaluate(loaded(model, 5), suite(), data, Options(tmp_path / "file"))


def test_two_writers_of_one_run_are_told(tmp_path):
    model = SmallNet()
    data = labeled(model, 8)
    run = evaluate(loaded(model, 5), suite(), data, Options(tmp_path))
    for fresh in (False, True):
        with RunStore(run.folder).locked(), pytest.raises(BadRun, match="another process"):
            evaluate(loaded(model, 5), suite(), data, Options(tmp_path, fresh=fresh))
    assert sorted_facts(evaluate(loaded(model, 5), suite(), data, Options(tmp_path))).equals(sorted_facts(run))
    assert len(RunStore(run.folder).all_facts()) == len(run.facts), "starting over must not touch a run in use"


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


def test_restarts_are_a_union_per_sample(tmp_path, monkeypatch):
    """Each restart breaks other rows; the cell counts them all, in every mode."""
    model = Linear()
    data = labeled(model, 20)

    def play(observer, problem):
        sign = torch.where(problem.labels == 1, -1.0, 1.0)[:, None]
        moved = (problem.images + (sign * model.weight.detach().sign()).view_as(problem.images)).clamp(0, 1)
        back = problem.images.clone()
        back[problem.restart :: 2] = moved[problem.restart :: 2]
        return back

    for mode in ("observed", "watch", "faithful"):
        monkeypatch.setattr(Suite, "resolve", lambda self: (scripted(play, params={"restarts": 2}),))
        run = evaluate(loaded(model, 2), suite(("1",), method="fgsm", mode=mode), data, Options(tmp_path))
        assert run.summary["cells"][0]["broken"] == 20, mode
        monkeypatch.setattr(Suite, "resolve", lambda self: (scripted(play),))
        single = evaluate(loaded(model, 2), suite(("1",), method="fgsm", mode=mode, chunk=20), data, Options(tmp_path))
        assert single.summary["cells"][0]["broken"] == 10, mode


def test_a_cascade_runs_each_component_on_what_is_left(tmp_path, monkeypatch):
    model = Linear()
    data = labeled(model, 20)
    seen = []

    def play(observer, problem):
        seen.append((problem.component, len(problem.images)))
        sign = torch.where(problem.labels == 1, -1.0, 1.0)[:, None]
        moved = (problem.images + (sign * model.weight.detach().sign()).view_as(problem.images)).clamp(0, 1)
        back = problem.images.clone()
        half = len(back) // 2
        back[:half] = moved[:half]
        return back

    attack = scripted(play, components=("first", "second"))
    monkeypatch.setattr(Suite, "resolve", lambda self: (attack,))
    run = evaluate(loaded(model, 2), suite(("1",), chunk=20), data, Options(tmp_path))
    (cell,) = run.summary["cells"]
    assert seen == [("first", 20), ("second", 10)]
    assert cell["broken"] == 15
    assert [(c["component"], c["attacked"], c["robust_accuracy"]) for c in cell["components"]] == [
        ("first", 20, 0.5),
        ("second", 10, 0.25),
    ]
    skipped = run.facts.filter(pc.equal(run.facts["reason"], "cascade"))
    assert len(skipped) == 10


def test_single_step_attacks_run_afresh_and_may_rise(tmp_path, monkeypatch):
    """Accuracy that rises with epsilon must show; only the worst case is monotone."""
    model = Linear()
    data = labeled(model, 20)

    def only_small(observer, problem):
        if problem.epsilon > 0.9:
            return problem.images
        sign = torch.where(problem.labels == 1, -1.0, 1.0)[:, None]
        step = (sign * model.weight.detach().sign()).view_as(problem.images)
        return (problem.images + problem.epsilon * step).clamp(0, 1)

    attack = scripted(only_small, iterative=False)
    monkeypatch.setattr(Suite, "resolve", lambda self: (attack,))
    run = evaluate(loaded(model, 2), suite(("0.8", "1"), chunk=20), data, Options(tmp_path))
    small, large = run.summary["cells"]
    assert small["robust_accuracy"] == 0.0
    assert large["robust_accuracy"] == 1.0
    assert [row["robust_accuracy"] for row in run.summary["worst_case"]] == [0.0, 0.0]


def test_watch_mode_shows_silent_success(tmp_path, monkeypatch):
    model = Linear()
    data = labeled(model, 10)

    def throws_away(observer, problem):
        sign = torch.where(problem.labels == 1, -1.0, 1.0)[:, None]
        observer((problem.images + (sign * model.weight.detach().sign()).view_as(problem.images)).clamp(0, 1))
        return problem.images

    monkeypatch.setattr(Suite, "resolve", lambda self: (scripted(throws_away),))
    broken = {}
    for mode in ("observed", "watch", "faithful"):
        run = evaluate(loaded(model, 2), suite(("1",), mode=mode), data, Options(tmp_path))
        broken[mode] = run.summary["cells"][0]["broken"]
        sources = set(run.facts["source"].to_pylist()) - {None}
        assert sources == (set() if mode == "faithful" else {"query"})
    assert broken == {"observed": 10, "watch": 10, "faithful": 0}


def test_targeted_success_is_the_target_only(tmp_path, monkeypatch):
    model = SmallNet()
    data = labeled(model, 30)

    def noise(observer, problem):
        assert problem.targets is not None
        assert (problem.targets != problem.labels).all()
        return uniform_images(len(problem.images), problem.seed)

    attack = scripted(noise, kind="targeted", target="least_likely")
    monkeypatch.setattr(Suite, "resolve", lambda self: (attack,))
    run = evaluate(loaded(model, 5), suite(("1",)), data, Options(tmp_path))
    for row in run.facts.to_pylist():
        if row["outcome"] == "witness":
            assert row["adv_pred"] == row["target"]


def test_every_call_has_a_seed_of_its_own_and_the_same_one_again(tmp_path, monkeypatch):
    """Seeds differ by chunk, epsilon, restart, component and run seed, and depend on nothing else."""
    model = SmallNet()
    data = labeled(model, 40)
    seeds = []

    def note(observer, problem):
        draws = torch.rand(1).item(), np.random.rand(), random.random()
        seeds.append((problem.seed, *draws))
        return problem.images

    attack = scripted(note, params={"restarts": 2}, components=("a", "b"))
    monkeypatch.setattr(Suite, "resolve", lambda self: (attack,))
    for folder, seed in (("one", 0), ("two", 0), ("three", 1)):
        evaluate(loaded(model, 5), suite(), data, Options(tmp_path / folder, seed=seed))
    one, two, three = seeds[:36], seeds[36:72], seeds[72:]
    assert len(one) == 3 * 3 * 2 * 2
    assert one == two
    assert len(set(one) | set(three)) == 72
    for column in zip(*one, strict=True):
        assert len(set(column)) == 36


def test_a_resumed_run_keeps_its_choice_of_witnesses(tmp_path):
    """Otherwise run.json would promise images that the first start did not store."""
    model = SmallNet()
    data = labeled(model, 40)
    first = evaluate(loaded(model, 5), suite(), data, Options(tmp_path, witnesses="none"), StopAfter(5))
    again = evaluate(loaded(model, 5), suite(), data, Options(tmp_path, witnesses="all"))
    assert again.folder == first.folder
    assert again.info.witnesses == "none"
    assert not list(RunStore(again.folder).all_witnesses())
