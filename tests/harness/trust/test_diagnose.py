"""The diagnosis: each indicator trips on facts that show it, not on facts that don't, and grades follow their rule."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from toys import Linear, SmallNet, labeled, loaded, scripted

from harness.base.threat import parse_grid
from harness.evidence import facts
from harness.evidence.findings import CHECKS
from harness.evidence.run_info import parse
from harness.evidence.summary import summarize
from harness.inputs.suite import Suite
from harness.run.job import Options, evaluate
from harness.trust.diagnosis import diagnose, verdict
from harness.types import AttackSpec, Finding

N = 200


def info(name, method="pgd", iterative=True, tool="torchattacks", kind="budget", components=(), **params):
    return {
        "id": name, "tool": tool, "tool_version": "1", "method": method, "kind": kind, "iterative": iterative,
        "components": list(components), "params": params, "resolved": {}, "caveats": [],
    }  # fmt: skip


FGSM = info("fgsm", "fgsm", iterative=False)
PGD = info("pgd-20")
AUTO = info("aa", "standard", tool="autoattack", components=["apgd-ce", "square"])
SQUARE = info("square", "square")


class Book:
    """A run written by hand: `cell` says which samples an attack broke, of n samples with `labels`."""

    def __init__(self, *attacks, grid=("8/255",), mode="observed", labels=None, wrong=0, claims=None, findings=()):
        self.attacks, self.n, self.wrong = list(attacks), N, wrong
        self.labels = np.arange(N) % 10 if labels is None else labels
        epsilons = parse_grid(list(grid))
        self.epsilons = {epsilon.label: epsilon.value for epsilon in epsilons}
        self.content = {
            "schema": 1, "facts_schema": 1, "key": "0" * 64, "run": "results/x", "run_name": "x", "seed": 0,
            "threads": 1,
            "asked": {"device": "cpu", "batch_size": "auto"}, "witnesses": "all",
            "device": {"name": "cpu", "torch": "cpu"},
            "versions": {}, "git": None, "started": "", "finished": None, "sessions": 1, "out_of_memory": 0,
            "unconfirmed": 0, "model": {"name": "m", "sha256": "state:0"},
            "data": {"name": "toy", "slice": "s", "n": N}, "mode": mode,
            "suite": {
                "name": "s", "version": 1, "chunk": 512, "label": "s@1", "norm": "linf",
                "grid": [e.label for e in epsilons],
                "epsilons": [e.value for e in epsilons], "attacks": self.attacks,
            },
            "card": {"claims": claims or {}}, "findings": list(findings), "status": "complete", "seconds": 1.0,
        }  # fmt: skip
        right = np.arange(N) >= wrong
        outcomes = np.where(right, "survived", "clean_wrong").tolist()
        self.tables = [self._table("clean", None, "0", 0.0, outcomes, {"forwards": np.ones(N, np.int64)})]

    def cell(self, attack, broken=(), label="8/255", component=None, inherited=(), skipped=(), backwards=20, **columns):
        outcomes = np.full(N, "survived", dtype=object)
        outcomes[list(broken)] = "witness"
        outcomes[list(inherited)] = "inherited"
        outcomes[list(skipped)] = "not_run"
        outcomes[: self.wrong] = "clean_wrong"
        ran = np.isin(outcomes, ("survived", "witness"))
        found = np.isin(outcomes, facts.BROKEN)
        given = {
            "reason": ["cascade" if o == "not_run" else None for o in outcomes],
            "distance": np.ma.masked_array(np.full(N, 0.001), ~found),
            "source": ["query" if o == "witness" else None for o in outcomes],
            "query_index": np.ma.masked_array(np.full(N, 2), outcomes != "witness"),
            "restart": np.ma.masked_array(np.zeros(N, np.int64), outcomes != "witness"),
            "forwards": ran * 20, "backwards": ran * backwards, "dead_gradients": ran * 0, **columns,
        }  # fmt: skip
        self.tables.append(self._table(attack["id"], component, label, self.epsilons[label], outcomes.tolist(), given))
        return self

    def _table(self, attack, component, label, epsilon, outcomes, columns):
        fixed = {
            "sample_id": np.arange(N)[::-1].copy(), "label": self.labels[::-1].copy(), "attack": attack,
            "component": component, "epsilon": epsilon, "epsilon_label": label, "outcome": outcomes[::-1],
        }  # fmt: skip
        return facts.table(N, fixed | {name: values[::-1] for name, values in columns.items()})

    @property
    def run(self):
        return parse(self.content)

    @property
    def facts(self):
        return facts.concat(self.tables)

    def said(self):
        return [(finding.check, finding.level) for finding in diagnose(self.run, self.facts)]

    def message(self, check):
        (finding,) = [finding for finding in diagnose(self.run, self.facts) if finding.check == check]
        assert finding.message.startswith(CHECKS[check])
        return finding.message

    def grade(self):
        return verdict(self.run, self.facts)[1]


def sound():
    """What a sound model looks like: FGSM breaks 60, PGD those and 20 more, the cascade 6 more."""
    book = Book(FGSM, PGD, AUTO, wrong=10)
    book.cell(FGSM, range(40, 100)).cell(PGD, range(30, 110)).cell(AUTO, range(30, 116))
    book.cell(AUTO, range(30, 116), component="apgd-ce")
    return book.cell(AUTO, component="square", skipped=range(30, 116), backwards=0)


def test_a_sound_run_is_left_alone_and_graded_a():
    assert sound().said() == []
    assert sound().grade() == "A"


# ---------------------------------------------------------------- attack order


@pytest.mark.parametrize(("extra", "level"), [(4, None), (8, "warn"), (30, "error")])
def test_a_single_step_that_beats_iterations(extra, level):
    """Eight samples of 200 only FGSM breaks: 4 points, and 1/256 by chance; four could be chance."""
    book = Book(FGSM, PGD).cell(FGSM, range(60)).cell(PGD, range(extra, 60))
    assert book.said() == ([("P8", level)] if level else [])


def test_order_is_judged_on_what_both_attacked():
    """What PGD broke at a smaller epsilon is not held against FGSM, nor for PGD."""
    book = Book(FGSM, PGD, grid=("4/255", "8/255"))
    book.cell(FGSM, range(30), "4/255").cell(PGD, range(40), "4/255")
    book.cell(FGSM, range(60)).cell(PGD, inherited=range(40))
    assert book.said() == [("P8", "error")]  # of the 160 left FGSM broke 20, PGD none
    assert "10.0 % of the samples more than the stronger pgd-20 at 8/255" in book.message("P8")


def test_a_cascade_must_not_be_weaker_than_what_it_contains():
    book = Book(PGD, AUTO).cell(PGD, range(60)).cell(AUTO, range(40))
    assert ("P8", "error") in book.said()


def test_targeted_and_minimum_norm_attacks_have_no_rank():
    targeted = info("t", kind="targeted", target="class:1")
    minimum = info("cw", "cw", kind="minimum")
    assert Book(FGSM, targeted, minimum).cell(FGSM, range(90)).cell(targeted).cell(minimum).said() == []


# ---------------------------------------------------------------- black box


@pytest.mark.parametrize(("alone", "level"), [(1, None), (4, "warn"), (20, "error")])
def test_an_attack_without_gradients_that_finds_more(alone, level):
    book = Book(PGD, SQUARE).cell(PGD, range(60)).cell(SQUARE, range(40, 60 + alone), backwards=0)
    assert book.said() == ([("P8", level)] if level else [])


def test_a_component_without_gradients_counts_too():
    book = Book(AUTO).cell(AUTO, range(60)).cell(AUTO, range(40), component="apgd-ce")
    book.cell(AUTO, range(40, 60), component="square", skipped=range(40), backwards=0)
    assert book.said() == [("P8", "error")]
    assert "aa (square)" in book.message("P8")


def test_what_gradients_broke_at_a_smaller_epsilon_is_not_held_against_them():
    """A cascade does not run on what it inherits, and a weaker attack that survives there is not all there is."""
    book = Book(PGD, AUTO, SQUARE, grid=("4/255", "8/255")).cell(PGD, (), "4/255").cell(PGD)
    book.cell(AUTO, range(40), "4/255").cell(AUTO, range(40), "4/255", component="apgd-ce")
    book.cell(AUTO, inherited=range(40)).cell(AUTO, component="apgd-ce", skipped=range(40))
    book.cell(SQUARE, (), "4/255", backwards=0).cell(SQUARE, range(40), backwards=0)
    assert "P8" not in {check for check, _ in book.said()}
    afresh = Book(PGD, SQUARE, grid=("4/255", "8/255"), mode="faithful").cell(PGD, range(40), "4/255").cell(PGD)
    afresh.cell(SQUARE, (), "4/255", backwards=0).cell(SQUARE, range(40), backwards=0)
    assert "P8" not in {check for check, _ in afresh.said()}


def test_beating_a_single_step_is_no_masking():
    assert Book(FGSM, SQUARE).cell(FGSM, range(20)).cell(SQUARE, range(60), backwards=0).said() == []


# ---------------------------------------------------------------- unbounded


@pytest.mark.parametrize(("standing", "expected"), [(20, []), (28, []), (60, [("P9", "error")])])
def test_an_unbounded_attack_must_reach_the_commonest_label(standing, expected):
    book = Book(PGD, grid=("0.5",)).cell(PGD, range(N - standing), "0.5")
    assert book.said() == expected


def test_the_commonest_label_is_what_counts():
    """90 % of one class: a model that says so always is robust in any ball."""
    labels = np.where(np.arange(N) < 20, 1, 0)
    assert Book(PGD, grid=("0.5",), labels=labels).cell(PGD, range(20), "0.5").said() == []


def test_single_steps_and_small_balls_need_not_reach_chance():
    assert Book(FGSM, grid=("0.5",)).cell(FGSM, (), "0.5").said() == []
    assert Book(PGD).cell(PGD).said() == []


# ---------------------------------------------------------------- gradients


@pytest.mark.parametrize(("dead", "level"), [(0, None), (1, None), (4, "warn"), (100, "error")])
def test_survivors_without_gradients_were_not_attacked(dead, level):
    counts = np.zeros(N, np.int64)
    counts[100 : 100 + dead] = 15  # of 20
    counts[:50] = 20  # broken all the same: no matter
    assert Book(PGD).cell(PGD, range(100), dead_gradients=counts).said() == ([("P7", level)] if level else [])


def test_uncounted_gradients_are_not_zero_gradients():
    nothing = np.ma.masked_array(np.zeros(N, np.int64), np.ones(N, bool))
    assert Book(PGD).cell(PGD, range(100), dead_gradients=nothing).said() == []


# ---------------------------------------------------------------- effort


def late(count, broken=100):
    queries = np.full(N, 3)
    queries[:count] = 19
    return {"query_index": np.ma.masked_array(queries, np.arange(N) >= broken)}


@pytest.mark.parametrize(("count", "expected"), [(0, []), (5, []), (12, [("P22", "warn")])])
def test_witnesses_of_the_last_tenth(count, expected):
    assert Book(PGD).cell(PGD, range(100), **late(count)).said() == expected


def test_what_is_returned_counts_as_found_last():
    queries = np.ma.masked_array(np.full(N, 3), (np.arange(N) < 15) | (np.arange(N) >= 100))
    assert Book(PGD).cell(PGD, range(100), query_index=queries).said() == [("P22", "warn")]


def test_a_tenth_of_few_is_nothing():
    assert Book(PGD).cell(PGD, range(10), **late(2, 10)).said() == []


def test_each_restart_has_its_own_last_tenth():
    """Query 25 of two restarts of 20 is the second one's beginning."""
    twice = info("pgd", restarts=2)
    queries = np.ma.masked_array(np.full(N, 25), np.arange(N) >= 100)
    restart = np.ma.masked_array(np.ones(N, np.int64), np.arange(N) >= 100)
    forwards = np.full(N, 40)
    book = Book(twice).cell(twice, range(100), query_index=queries, restart=restart, forwards=forwards)
    assert book.said() == [("P23", "warn")]


@pytest.mark.parametrize(("last", "expected"), [(0, []), (2, []), (6, [("P23", "warn")])])
def test_the_last_restart_should_find_nothing_new(last, expected):
    thrice = info("pgd", restarts=3)
    restart = np.zeros(N, np.int64)
    restart[:last] = 2
    restart = np.ma.masked_array(restart, np.arange(N) >= 100)
    queries = np.ma.masked_array(np.where(np.arange(N) < last, 45, 3), np.arange(N) >= 100)
    book = Book(thrice).cell(thrice, range(100), restart=restart, query_index=queries, forwards=np.full(N, 60))
    assert book.said() == expected


@pytest.mark.parametrize(("lost", "level"), [(0, None), (2, None), (5, "info"), (30, "warn")])
def test_silent_success_is_what_the_tool_did_not_return(lost, level):
    source = np.array(["query"] * lost + ["returned"] * (100 - lost) + [None] * 100, dtype=object)
    expected = [("P24", level)] if level else []
    assert Book(PGD, mode="watch").cell(PGD, range(100), source=source).said() == expected
    assert Book(PGD, mode="observed").cell(PGD, range(100), source=source).said() == []


# ---------------------------------------------------------------- overfitting to one attack


def test_catastrophic_overfitting():
    assert Book(FGSM, PGD).cell(FGSM, range(20)).cell(PGD, range(150)).said() == [("P16", "warn")]
    assert Book(FGSM, PGD).cell(FGSM, range(120)).cell(PGD, range(190)).said() == []  # undefended models look so


def test_single_step_accuracy_that_rises_with_epsilon():
    def rising(*attacks):
        book = Book(FGSM, *attacks, grid=("4/255", "8/255"))
        return book.cell(FGSM, range(90), "4/255").cell(FGSM, range(70))

    assert rising().said() == [("P16", "warn")]
    assert "at 8/255" in rising().message("P16")
    with_pgd = rising(PGD).cell(PGD, range(95), "4/255").cell(PGD, range(95, 100), inherited=range(95))
    assert with_pgd.said() == [("P16", "info")]
    steady = Book(FGSM, grid=("4/255", "8/255")).cell(FGSM, range(90), "4/255").cell(FGSM, range(85))
    assert steady.said() == []


@pytest.mark.parametrize(("gap", "level"), [(6, None), (16, "info"), (40, "warn")])
def test_a_cascade_far_below_plain_gradient_descent(gap, level):
    book = Book(PGD, AUTO).cell(PGD, range(60)).cell(AUTO, range(60 + gap))
    assert book.said() == ([("P16", level)] if level else [])


# ---------------------------------------------------------------- tools, claims


def test_tools_that_disagree():
    ours, theirs = info("fgsm", "fgsm", False), info("art/fgsm", "fgsm", False, tool="art")
    assert Book(ours, theirs).cell(ours, range(60)).cell(theirs, range(1, 61)).said() == []
    book = Book(ours, theirs).cell(ours, range(60)).cell(theirs, range(50))
    assert book.said() == [("P25", "warn")]
    assert "fgsm (torchattacks) breaks 5.0 %" in book.message("P25")
    other = {**theirs, "resolved": {"8/255": {"random_start": True}}}
    ours = {**ours, "resolved": {"8/255": {"random_start": False}}}
    assert Book(ours, other).cell(ours, range(60)).cell(other, range(50)).said() == []  # not the same attack


def test_the_claim_is_held_against_the_whole_slice():
    claims = {"toy": {"accuracy": 0.95, "n": 4000}}
    assert Book(PGD, wrong=12, claims=claims).cell(PGD).said() == []
    book = Book(PGD, wrong=60, claims=claims).cell(PGD)
    assert book.said() == [("P3", "error")]
    known = [{"check": "P3", "level": "refuse", "message": "said before"}]
    assert Book(PGD, wrong=60, claims=claims, findings=known).cell(PGD).said() == []


# ---------------------------------------------------------------- grades


def test_grades_follow_their_rule():
    assert Book(PGD).cell(PGD, range(9)).grade() == "B"  # nobody attacked without gradients
    assert Book(SQUARE).cell(SQUARE, range(9), backwards=0).grade() == "B"
    assert Book(PGD, SQUARE).cell(PGD, range(9)).cell(SQUARE, backwards=0).grade() == "A"
    assert Book(PGD, wrong=5).cell(PGD, range(5, N)).grade() == "A"  # nothing left to hide
    assert Book(PGD, mode="watch").cell(PGD, range(100), **late(30)).grade() == "C"
    assert Book(FGSM, PGD).cell(FGSM, range(60)).cell(PGD, range(30, 60)).grade() == "D"


@pytest.mark.parametrize(
    ("check", "level", "grade"),
    [("P4", "info", "B"), ("torn", "warn", "B"), ("P6", "warn", "C"), ("P3", "refuse", "D"), ("P4", "error", "D")],
)
def test_findings_before_the_run_count(check, level, grade):
    findings = [{"check": check, "level": level, "message": "m"}]
    assert Book(PGD, findings=findings).cell(PGD, range(9)).grade() == grade


def test_an_incomplete_row_has_no_grade():
    assert Book(PGD, grid=("4/255", "8/255")).cell(PGD).grade() is None
    assert Book(PGD).cell(PGD, skipped=[3]).grade() is None
    book = Book(PGD).cell(PGD)
    book.content["status"] = "interrupted"
    assert book.grade() is None
    assert Book(PGD).said() == []


def test_the_summary_carries_findings_and_grade_and_is_json():
    book = Book(FGSM, PGD, findings=[{"check": "tool", "level": "info", "message": "first"}])
    book.cell(FGSM, range(60)).cell(PGD, range(30, 60))
    summary = summarize(book.run, book.facts, *verdict(book.run, book.facts))
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert [finding["check"] for finding in summary["findings"]] == ["tool", "P8"]
    assert summary["findings"][1]["figure"] == pytest.approx(0.15)
    assert summary["findings"][1]["threshold"] == 0.01
    assert summary["grade"] == "D"
    assert book.run.findings == (Finding("tool", "info", "first"),)


# ---------------------------------------------------------------- real runs


def suite(*specs, grid=("8/255",), mode="observed"):
    return Suite("toy", 1, "linf", parse_grid(list(grid)), mode, 64, specs)


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


class Prefix(Book):
    """A book in which attacks with an n have facts of the first so many samples only; the slice's order is by id."""

    @property
    def facts(self):
        drawn = {attack["id"]: attack.get("n", N) for attack in self.attacks}
        whole = super().facts
        names, ids = whole["attack"].to_pylist(), whole["sample_id"].to_pylist()
        return whole.filter([i < drawn.get(name, N) for name, i in zip(names, ids, strict=True)])


def on_prefix(attack, n):
    return {**attack, "n": n, "chunk": 1}


def test_attacks_are_compared_only_on_samples_that_both_attacked():
    """On the prefix both break the same; PGD's many breaks behind it say nothing against AutoAttack."""
    short = on_prefix(AUTO, 50)
    parts = [("apgd-ce", 20), ("square", 0)]

    def book(weak, strong):
        made = Prefix(PGD, short).cell(PGD, weak).cell(short, strong)
        for component, backwards in parts:
            made.cell(short, strong if component == "apgd-ce" else (), component=component, backwards=backwards)
        return made

    assert book(range(10, 190), range(10, 50)).said() == []
    # P8: of the 50 that both attacked, PGD breaks 30 more.
    wrong = book(range(10, 190), range(10, 20))
    assert ("P8", "error") in wrong.said()
    assert "breaks 60.0 %" in wrong.message("P8")
    # P16: AutoAttack leaves 10 of 50, PGD 40 of these and all others: 60 points on the prefix.
    gap = book(range(10), range(40))
    assert gap.said() == [("P16", "warn")]
    assert "aa is 60.0 % below pgd-20" in gap.message("P16")


def test_an_attack_without_gradients_is_compared_on_the_common_prefix():
    short = on_prefix(SQUARE, 50)
    quiet = Prefix(PGD, short).cell(PGD, range(50)).cell(short, range(50), backwards=0)
    assert quiet.said() == []
    masked = Prefix(PGD, short).cell(PGD, range(50, 200)).cell(short, range(50), backwards=0)
    assert ("P8", "error") in masked.said()
    assert "breaks 100.0 %" in masked.message("P8")


def test_a_run_on_a_prefix_has_a_grade():
    short = on_prefix(SQUARE, 50)

    def book():
        return Prefix(PGD, short).cell(PGD, range(100)).cell(short, range(40), backwards=0)

    assert book().grade() == "A"
    longer = Prefix(PGD, on_prefix(SQUARE, 60)).run  # of which ten samples have no fact
    assert longer.drawn == {"pgd-20": N, "square": 60}
    assert verdict(longer, book().facts)[1] is None
