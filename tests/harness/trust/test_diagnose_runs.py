"""The diagnosis of real runs: masks are seen before and after, sound models are left alone."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn
from toys import Linear, SmallNet, labeled, loaded, scripted

from harness.base.threat import parse_grid
from harness.inputs.suite import Suite
from harness.run.job import Options, evaluate
from harness.types import AttackSpec


def suite(*specs, grid=("8/255",), mode="observed"):
    return Suite(name="toy", version=1, norm="linf", grid=parse_grid(list(grid)), mode=mode, chunk=64, attacks=specs)


PGD_SPEC = AttackSpec("pgd", "torchattacks", "pgd", {"steps": 10, "step_size": "epsilon/4", "random_start": True})
FGSM_SPEC = AttackSpec("fgsm", "torchattacks", "fgsm", {})
SQUARE_SPEC = AttackSpec(
    "square", "torchattacks", "square", {"queries": 300, "p_init": 0.8, "loss": "margin", "rescale_schedule": False}
)


def checks_of(run):
    return {(finding["check"], finding["level"]) for finding in run.summary["findings"]}


def test_sound_models_are_left_alone_by_real_attacks(tmp_path):
    for place, model in enumerate((Linear(), SmallNet(seed=3))):
        data = labeled(model, 64, low=0.2, high=0.8)
        chosen = suite(FGSM_SPEC, PGD_SPEC, SQUARE_SPEC, grid=("1/255", "8/255"))
        run = evaluate(loaded(model, len(data.classes)), chosen, data, Options(tmp_path / str(place)))
        assert checks_of(run) == set()
        assert run.summary["grade"] == "A"
        assert sum(cell["broken"] for cell in run.summary["cells"]) > 10


class Quantized(nn.Module):
    """Linear, on pixels rounded to 32 levels: no gradient, no robustness."""

    def __init__(self):
        super().__init__()
        self.net = Linear()

    def forward(self, images):
        return self.net((images * 31).round() / 31) + 0 * images.sum()


def test_masked_gradients_are_seen_before_and_after(tmp_path):
    model = Quantized().eval()
    data = labeled(model, 64, low=0.2, high=0.8)
    run = evaluate(loaded(model, 2), suite(PGD_SPEC, SQUARE_SPEC), data, Options(tmp_path))
    assert ("P7", "warn") in checks_of(run)  # the doctor
    assert ("P7", "error") in checks_of(run)  # the observer
    assert ("P8", "error") in checks_of(run)  # the random search
    assert run.summary["grade"] == "D"


def test_a_masked_model_stands_where_none_can(tmp_path):
    plain = replace(PGD_SPEC, params={**PGD_SPEC.params, "random_start": False})  # noise of 0.5 breaks half by itself
    model = Quantized().eval()
    data = labeled(model, 64, low=0.2, high=0.8)
    run = evaluate(loaded(model, 2), suite(plain, grid=("0.5",)), data, Options(tmp_path))
    assert ("P9", "error") in checks_of(run)
    bare = Linear()
    data = labeled(bare, 64, low=0.2, high=0.8)
    run = evaluate(loaded(bare, 2), suite(plain, grid=("0.5",)), data, Options(tmp_path))
    assert checks_of(run) == set()


def test_a_tool_that_walks_away_is_caught_in_watch_mode(tmp_path, monkeypatch):
    model = Linear()
    data = labeled(model, 64, low=0.2, high=0.8)

    def play(keep):
        def perturb(observer, problem):
            sign = torch.where(problem.labels == 1, -1.0, 1.0)[:, None]
            moved = problem.images + problem.epsilon * (sign * model.weight.detach().sign()).view_as(problem.images)
            observer(moved.clamp(0, 1))
            return moved.clamp(0, 1) if keep else problem.images

        return perturb

    for keep, expected in ((False, {("P24", "warn")}), (True, set())):
        monkeypatch.setattr(Suite, "resolve", lambda self, keep=keep: (scripted(play(keep)),))
        chosen = suite(AttackSpec("a", "test", "scripted", {}), mode="watch")
        run = evaluate(loaded(model, 2), chosen, data, Options(tmp_path / str(keep)))
        assert run.summary["cells"][0]["broken"] > 10
        assert checks_of(run) == expected


def test_watching_knows_when_a_witness_was_found_even_if_it_is_returned(tmp_path):
    """Otherwise all that PGD returns would look as if found at the end, and steps would seem to help."""
    model = SmallNet(seed=3)
    data = labeled(model, 64)
    runs = {}
    for mode in ("observed", "watch"):
        chosen = suite(PGD_SPEC, mode=mode)
        runs[mode] = evaluate(loaded(model, 5), chosen, data, Options(tmp_path, batch_size=64))
        assert checks_of(runs[mode]) == set()
    found = {
        mode: {
            row["sample_id"]: row["query_index"]
            for row in run.facts.to_pylist()
            if row["attack"] == "pgd" and row["source"] is not None and row["query_index"] is not None
        }
        for mode, run in runs.items()
    }
    assert len(found["observed"]) > 10
    both = set(found["observed"]) & set(found["watch"])
    assert len(both) >= 0.9 * len(found["observed"])
    assert np.mean([found["observed"][i] == found["watch"][i] for i in both]) > 0.9  # rounding may move single ones


def test_dead_gradients_are_counted_by_row_and_query(tmp_path, monkeypatch):
    """Half of the rows pass a dead layer; one leaf asked about twice is not counted twice."""

    class HalfDead(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = Linear()

        def forward(self, images):
            bright = (images[:, :, 0, 0].mean(1) > 0.5).float()[:, None]
            logits = self.net(images)
            return bright * logits.detach() + (1 - bright) * logits

    model = HalfDead().eval()
    data = labeled(model, 40)
    dark = data.images[:, :, 0, 0].mean(1) <= 0.5

    def play(observer, problem):
        images = problem.images.clone().requires_grad_()
        for _ in range(3):
            torch.autograd.grad(observer(images)[:, 1].sum(), images)
        return problem.images

    monkeypatch.setattr(Suite, "resolve", lambda self: (scripted(play),))
    run = evaluate(loaded(model, 2), suite(AttackSpec("a", "test", "scripted", {})), data, Options(tmp_path))
    rows = [row for row in run.facts.to_pylist() if row["attack"] == "a"]
    assert {row["backwards"] for row in rows} == {3}
    assert {row["sample_id"]: row["dead_gradients"] for row in rows} == {
        i: 0 if dark[i] else 3 for i in range(len(data))
    }


class Decoy(nn.Module):
    """Linear, with a steep gradient on 8-bit images that leads nowhere; from a random start the way is plain."""

    def __init__(self):
        super().__init__()
        self.net = Linear()
        self.register_buffer("lure", torch.randn(192, generator=torch.Generator().manual_seed(1)))

    def forward(self, images):
        eight_bit = (images * 255 - (images * 255).round()).flatten(1).abs().amax(1) < 1e-3
        nothing = (images - images.detach()).flatten(1) @ self.lure
        return self.net(images) + (1e4 * eight_bit * nothing)[:, None] * torch.tensor([-1.0, 1.0])


def test_a_model_made_for_a_single_step_is_seen(tmp_path):
    model = Decoy().eval()
    data = labeled(model, 128, low=0.3, high=0.7, eight_bit=True)
    run = evaluate(loaded(model, 2), suite(FGSM_SPEC, PGD_SPEC), data, Options(tmp_path))
    assert {("P7", "warn"), ("P16", "warn")} == checks_of(run)  # the doctor's uphill test, and the two attacks
    assert run.summary["grade"] == "C"
