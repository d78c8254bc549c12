"""Honest runs verify, whatever their norm, mode, evidence or history; what is proved is the run's own numbers."""

import copy
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import CASCADE, Linear, SmallNet, StopAfter, labeled, loaded, scripted

from harness.base.threat import parse_grid
from harness.errors import BadRun
from harness.inputs.reference import MARGINAL
from harness.inputs.suite import Suite
from harness.run.job import Options, evaluate
from harness.trust.verify.verify import VerifyOptions, verify
from harness.types import AttackSpec

FGSM = AttackSpec("fgsm", "torchattacks", "fgsm", {})
PGD = AttackSpec("pgd", "torchattacks", "pgd", {"steps": 5, "step_size": "epsilon/4", "random_start": True})
PGDL2 = AttackSpec("pgdl2", "torchattacks", "pgdl2", {"steps": 5, "step_size": "epsilon/4", "random_start": True})
CPU = VerifyOptions(device="cpu")


def suite(*attacks, grid=("2/255", "8/255", "16/255"), norm="linf", mode="observed", chunk=16):
    return Suite(
        name="toy",
        version=1,
        norm=norm,
        grid=parse_grid(grid, norm),
        mode=mode,
        chunk=chunk,
        attacks=attacks or (FGSM, PGD),
    )


def run_of(folder, chosen, n=40, wrong=4, **options):
    model = SmallNet()
    data = labeled(model, n, wrong=wrong)
    return evaluate(loaded(model, 5), chosen, data, Options(folder, device="cpu", **options)), model, data


def problems(verdict):
    return [finding.message for finding in verdict.problems]


@pytest.mark.parametrize("mode", ["observed", "watch", "faithful"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_an_honest_run_verifies_and_proves_every_number_it_claims(tmp_path, mode, norm):
    chosen = suite(mode=mode) if norm == "linf" else suite(PGDL2, grid=("0.1", "0.5", "1.5"), norm="l2", mode=mode)
    run, model, data = run_of(tmp_path, chosen)
    verdict = verify(run.folder, loaded(model, 5), data, CPU)
    assert problems(verdict) == []
    assert verdict.value == "breaks verified"
    assert verdict.witnesses > 10
    assert verdict.survivors == run.facts["outcome"].to_pylist().count("survived") - 36
    claimed = {(cell["attack"], cell["epsilon_label"]): cell["robust_accuracy"] for cell in run.summary["cells"]}
    claimed |= {(None, worst["epsilon_label"]): worst["robust_accuracy"] for worst in run.summary["worst_case"]}
    assert {(bound.attack, bound.epsilon_label): bound.claimed for bound in verdict.bounds} == claimed
    assert any(bound.broken for bound in verdict.bounds)
    for bound in verdict.bounds:
        assert bound.proved == bound.broken
        # A single-step attack's own figure may rise with epsilon; what is proved never does.
        assert bound.at_most <= bound.claimed
        if bound.attack != "fgsm":
            assert bound.at_most == bound.claimed


def test_a_run_verifies_in_another_place_and_leaves_it_untouched(tmp_path):
    run, model, data = run_of(tmp_path / "here", suite())
    moved = shutil.copytree(run.folder, tmp_path / "elsewhere" / "another name")
    shutil.rmtree(tmp_path / "here")
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in moved.rglob("*")}
    assert verify(moved, loaded(model, 5), data, CPU).ok
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in moved.rglob("*")} == before


def test_a_resumed_run_verifies_and_an_interrupted_one_is_named(tmp_path):
    model = SmallNet()
    data = labeled(model, 40, wrong=4)
    options = Options(tmp_path, device="cpu")
    part = evaluate(loaded(model, 5), suite(), data, options, StopAfter(9))
    verdict = verify(part.folder, loaded(model, 5), data, CPU)
    assert verdict.value == "no"
    assert any("'interrupted'; finish it first" in text for text in problems(verdict))
    assert any("facts are missing" in text for text in problems(verdict))
    whole = evaluate(loaded(model, 5), suite(), data, options)
    assert whole.info.sessions == 2
    assert problems(verify(whole.folder, loaded(model, 5), data, CPU)) == []


def test_one_witness_a_sample_backs_the_worst_case_only(tmp_path):
    run, model, data = run_of(tmp_path, suite(), witnesses="worst")
    verdict = verify(run.folder, loaded(model, 5), data, CPU)
    assert problems(verdict) == []
    assert verdict.evidence == "worst"
    assert any("the worst case is backed" in note.message for note in verdict.notes)
    worst = [bound for bound in verdict.bounds if bound.attack is None]
    assert all(bound.proved == bound.broken for bound in worst)
    assert [bound.at_most for bound in worst] == [bound.claimed for bound in worst]
    single = [bound for bound in verdict.bounds if bound.attack is not None]
    assert any(bound.proved < bound.broken for bound in single)
    assert all(bound.at_most >= bound.claimed for bound in single if bound.attack == "pgd")


def test_without_witnesses_nothing_is_provable_and_that_is_said(tmp_path):
    run, model, data = run_of(tmp_path, suite(), witnesses="none")
    verdict = verify(run.folder, loaded(model, 5), data, CPU)
    assert verdict.value == "no"
    (only,) = verdict.problems
    assert only.check == "backing"
    assert "kept no witnesses" in only.message
    assert "at most the clean accuracy, 90.00 %" in only.message
    assert all(bound.proved == 0 and bound.at_most == pytest.approx(0.9) for bound in verdict.bounds)


def test_a_cascade_verifies_with_its_components(tmp_path, monkeypatch):
    model = Linear()
    data = labeled(model, 20, wrong=2)

    def play(observer, problem):
        sign = torch.where(problem.labels == 1, -1.0, 1.0)[:, None]
        moved = (problem.images + (sign * model.weight.detach().sign()).view_as(problem.images)).clamp(0, 1)
        back = problem.images.clone()
        back[::2] = moved[::2]
        return back

    for components in ((None,), ("first", "second"), ("only",)):
        for iterative in (True, False):
            attack = scripted(play, components=components, iterative=iterative)
            monkeypatch.setattr(Suite, "resolve", lambda self, attack=attack: (attack,))
            chosen = suite(AttackSpec("c", "test", "scripted", {}), grid=("0.5", "1"))
            where = tmp_path / f"{components}{iterative}"
            run = evaluate(loaded(model, 2), chosen, data, Options(where, device="cpu"))
            verdict = verify(run.folder, loaded(model, 2), data, CPU)
            assert problems(verdict) == []
            assert verdict.witnesses > 5


@pytest.mark.parametrize("individual", [False, True])
@pytest.mark.parametrize("mode", ["observed", "watch", "faithful", "bisection", "worst-case"])
def test_autoattack_s_components_verify_in_every_mode(tmp_path, mode, individual):
    attacks = FGSM, replace(CASCADE, params={**CASCADE.params, "individual": individual})
    run, model, data = run_of(tmp_path, suite(*attacks, mode=mode), n=24)
    assert {row["component"] for row in run.facts.to_pylist() if row["outcome"] == "witness"} >= {None, "apgd-ce"}
    assert problems(verify(run.folder, loaded(model, 5), data, CPU)) == []


@pytest.mark.parametrize("kind", ["minimum", "targeted"])
def test_attacks_of_other_kinds_verify(tmp_path, monkeypatch, kind):
    model = SmallNet()
    data = labeled(model, 30, wrong=3)

    def climb(observer, problem):
        for share in (0.1, 0.3, 1.0):
            images = problem.images.clone().requires_grad_()
            logits = observer(images)
            goal = problem.labels if problem.targets is None else problem.targets
            score = logits.gather(1, goal[:, None]).sum() * (1 if problem.targets is not None else -1)
            (slope,) = torch.autograd.grad(score, images)
            moved = (problem.images + share * problem.epsilon * slope.sign()).clamp(0, 1)
            observer(moved)
        return moved

    flags = {"target": "kth:1"} if kind == "targeted" else {}
    params = {"target": "kth:1"} if kind == "targeted" else {}
    attack = scripted(climb, kind=kind, options={"target": str}, params=params, **flags)
    monkeypatch.setattr(Suite, "resolve", lambda self: (attack,))
    chosen = suite(AttackSpec("a", "test", "scripted", params), grid=("0", "0.2", "0.6"))
    run = evaluate(loaded(model, 5), chosen, data, Options(tmp_path, device="cpu"))
    verdict = verify(run.folder, loaded(model, 5), data, CPU)
    assert problems(verdict) == []
    assert verdict.witnesses > 3


def computed_elsewhere(model, change):
    """The same tensors, whose logits another device computes as `change` says."""
    there = copy.deepcopy(model)
    there.register_forward_hook(lambda module, images, logits: change(logits))
    return there


def barely(model):
    """An attack that stops right behind the boundary, at margins near the rounding of float32."""

    def play(observer, problem):
        weight = model.weight.detach().double()
        score = problem.images.flatten(1).double() @ weight + model.bias.detach().double()
        step = -(score + score.sign() * 2e-6)[:, None] * weight / (weight @ weight)
        return (problem.images.double() + step.view_as(problem.images)).float()

    return play


@pytest.fixture
def on_the_edge(tmp_path, monkeypatch):
    model = Linear()
    data = labeled(model, 40, low=0.35, high=0.65)
    attack = scripted(barely(model), norm="l2")
    monkeypatch.setattr(Suite, "resolve", lambda self: (attack,))
    chosen = suite(AttackSpec("edge", "test", "scripted", {}), grid=("0.5",), norm="l2")
    run = evaluate(loaded(model, 2), chosen, data, Options(tmp_path, device="cpu"))
    assert max(run.facts["margin"].drop_null().to_pylist()) > 0
    return run, model, data


def seen_from(model, shift):
    return loaded(computed_elsewhere(model, lambda logits: logits + torch.tensor([0.0, shift])), 2)


def test_marginal_witnesses_may_flip_elsewhere_and_prove_nothing_there(on_the_edge):
    run, model, data = on_the_edge
    found = [row for row in run.facts.to_pylist() if row["outcome"] == "witness"]
    assert len(found) > 10
    assert max(row["margin"] for row in found) < 1e-4
    here = verify(run.folder, seen_from(model, 0.0), data, CPU)
    assert problems(here) == []
    assert not any(marginal.flipped for marginal in here.marginals)
    # The margins are around 1e-5 and the model's logits range over units, so that this shift could be rounding.
    there = verify(run.folder, seen_from(model, 2e-5), data, CPU)
    flipped = [marginal for marginal in there.marginals if marginal.flipped and marginal.attack == "edge"]
    assert problems(there) == []
    assert 0 < len(flipped) < len(found)
    (cell,) = [bound for bound in there.bounds if bound.attack == "edge"]
    assert cell.proved == cell.broken - len(flipped)
    assert cell.at_most == pytest.approx(cell.claimed + len(flipped) / 40)


def test_what_no_rounding_explains_is_a_problem(tmp_path):
    run, model, data = run_of(tmp_path, suite())

    def other(size):
        def change(logits):
            spread = (logits.amax(1) - logits.amin(1))[:, None]
            return logits + size * spread * torch.sin(1e3 * logits.cumsum(1))

        return loaded(computed_elsewhere(model, change), 5)

    tiny, large = other(MARGINAL / 20), other(MARGINAL * 20)
    assert problems(verify(run.folder, tiny, data, CPU)) == []
    checks = {finding.check for finding in verify(run.folder, large, data, CPU).problems}
    assert checks & {"clean", "margin", "prediction"}


def test_batches_do_not_matter(tmp_path):
    """Verified in other batches than it was measured in, which on many machines are other kernels."""
    run, model, data = run_of(tmp_path, suite(), batch_size=3)
    assert problems(verify(run.folder, loaded(model, 5), data, CPU)) == []


def test_a_cell_that_failed_claims_nothing_and_the_rest_verifies(tmp_path, monkeypatch):
    model = SmallNet()
    data = labeled(model, 20, wrong=2)

    def fails(observer, problem):
        raise ValueError("tool fell over")

    real = Suite(
        name="toy", version=1, norm="linf", grid=parse_grid(["8/255"]), mode="observed", chunk=16, attacks=(PGD,)
    ).resolve()
    monkeypatch.setattr(Suite, "resolve", lambda self: (scripted(fails), *real))
    chosen = suite(AttackSpec("bad", "test", "scripted", {}), PGD, grid=("8/255",))
    run = evaluate(loaded(model, 5), chosen, data, Options(tmp_path, device="cpu"))
    verdict = verify(run.folder, loaded(model, 5), data, CPU)
    assert problems(verdict) == []
    assert {bound.attack: bound.claimed is None for bound in verdict.bounds} == {"bad": True, "pgd": False, None: True}


def test_what_is_no_run_is_bad_input(tmp_path):
    model = SmallNet()
    with pytest.raises(BadRun, match=r"no run\.json"):
        verify(tmp_path, loaded(model, 5), labeled(model, 4), CPU)
    (tmp_path / "run.json").write_text("{")
    verdict = verify(tmp_path, loaded(model, 5), labeled(model, 4), CPU)
    assert (verdict.value, [problem.check for problem in verdict.problems]) == ("no", ["run"])
    (tmp_path / "run.json").write_text('{"schema": 99}')
    with pytest.raises(BadRun, match="schema 99"):
        verify(tmp_path, loaded(model, 5), labeled(model, 4), CPU)


def test_the_ids_of_a_slice_need_not_be_in_order(tmp_path):
    """The slice is a random order of the data set; nothing may depend on ids being positions."""
    run, model, data = run_of(tmp_path, suite(), n=60, wrong=9)
    smaller = evaluate(loaded(model, 5), suite(), data, Options(tmp_path / "n", n=23, device="cpu"))
    ids = smaller.facts["sample_id"].to_numpy()
    assert len(np.unique(ids)) == 23
    assert ids.max() > 23
    assert problems(verify(smaller.folder, loaded(model, 5), data, CPU)) == []
    assert problems(verify(run.folder, loaded(model, 5), data, CPU)) == []
