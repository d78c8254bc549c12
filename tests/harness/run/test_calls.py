"""One attack, several calls: restarts, cascades, single steps, targets, and a seed for each."""

import random

import numpy as np
import pyarrow.compute as pc
import torch
from observed import suite
from toys import Linear, SmallNet, labeled, loaded, scripted, uniform_images

from harness.inputs.suite import Suite
from harness.run.job import Options, evaluate


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
