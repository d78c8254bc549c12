"""Runs of randomized models: key, resume, summary, verification, and what is refused."""

import json
from dataclasses import replace

import pytest
import torch
from forgery import Forger
from noisy import Noisy
from torch import nn
from toys import StopAfter, labeled, loaded

import harness
from harness.base.threat import parse_grid
from harness.errors import UsageError
from harness.evidence.run_json import parse
from harness.inputs.suite import Suite
from harness.run.job import Options, evaluate
from harness.trust.verify.verify import VerifyOptions, verify
from harness.types import AttackSpec, ModelCard

PGD = AttackSpec("pgd", "torchattacks", "pgd", {"steps": 5, "step_size": "epsilon/4", "random_start": True})
MODEL = Noisy(2.0)
DATA = labeled(MODEL.net, 30)
CPU = VerifyOptions(device="cpu")

pytestmark = pytest.mark.torchattacks


def suite(*attacks, grid=("4/255", "16/255"), chunk=16):
    grid = parse_grid(grid, "linf")
    return Suite(name="toy", version=1, norm="linf", grid=grid, mode="observed", chunk=chunk, attacks=attacks or (PGD,))


def run_of(folder, chosen=None, model=None, reporter=None, **options):
    options = {"device": "cpu", "draws": 60} | options
    return evaluate(model or loaded(MODEL, 2), chosen or suite(), DATA, Options(folder, **options), reporter)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_of(tmp_path_factory.mktemp("results"))


def problems(verdict):
    return [finding.message for finding in verdict.problems]


def test_draws_and_rule_are_in_key_and_summary_only_where_they_are_used(run, tmp_path):
    assert run.info.randomness.words == "majority of 60 draws"
    assert run.summary["randomness"] == {"draws": 60, "rule": "majority", "level": 1e-3}
    written = json.loads((run.folder / "run.json").read_text())
    assert parse(written).determined() == run.info.key
    keys = {run.info.key}
    for other in ({"draws": 70}, {"draws": 140, "rule": "mean"}, {"draws": None}):
        info = run_of(tmp_path, budget=1e-3, **other).info
        keys.add(info.key)
    assert len(keys) == 4
    assert info.randomness is None
    assert "randomness" not in json.loads(next(tmp_path.glob(f"*{info.key[:12]}/run.json")).read_text())
    told = [finding for finding in run.info.findings if finding.check == "P5"]
    assert [finding.level for finding in told] == ["info"]
    assert "its answer is a vote of 60 draws" in told[0].message


def test_what_is_interrupted_and_taken_up_again_is_the_same_run(run, tmp_path):
    first = run_of(tmp_path, reporter=StopAfter(2))
    assert first.info.status == "interrupted"
    again = run_of(tmp_path)
    assert again.info.status == "complete"
    assert again.facts.equals(run.facts)


def test_an_honest_run_verifies_and_its_survivors_stand(run):
    verdict = verify(run.folder, loaded(MODEL, 2), DATA, replace(CPU, replay=5))
    assert problems(verdict) == []
    assert verdict.witnesses > 5
    assert all(bound.proved == bound.broken and bound.at_most == bound.claimed for bound in verdict.bounds)
    assert not any(hit.false for hit in verdict.replay.hits)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"votes": 60, "hits": 31, "margin": 1 / 30}, "votes do not show that most are wrong"),
        ({"votes": 61, "hits": 61, "margin": 1.0}, "votes are not possible with 60"),
        ({"hits": 0}, "votes do not show that most are wrong"),
        ({"candidate": 10_000}, "votes do not show that most are wrong"),
        ({"margin": 0.5}, "margin is not that of the recorded votes"),
    ],
)
def test_votes_that_show_no_break_are_named(run, tmp_path, change, words):
    forger = Forger(run.folder, tmp_path / "forged", DATA)
    sample = forger.all_witnesses()[0]["sample_id"]
    forger.edit_witnesses(lambda row: row | change if row["sample_id"] == sample else row)
    margin = {"margin": change["margin"]} if "margin" in change else {}
    broken = ("witness", "inherited")
    forger.edit_facts(lambda row: row | margin if row["sample_id"] == sample and row["outcome"] in broken else row)
    told = problems(verify(forger.folder, loaded(MODEL, 2), DATA, CPU))
    assert any(words in message for message in told), told


def test_another_image_with_the_votes_of_a_witness_is_refuted(run, tmp_path):
    """Votes of a sample that each draw gets right are not those of its witness, on any device."""
    forger = Forger(run.folder, tmp_path / "forged", DATA)
    model = loaded(Noisy(0.01), 2)  # the same tensors; a model that hardly draws
    told = problems(verify(forger.folder, model, DATA, CPU))
    assert any("votes are" in message for message in told), told


def test_the_card_asks_for_draws_and_options_go_before_it(tmp_path):
    card = ModelCard("m", "", "x", 2, (3, 8, 8), randomness={"draws": 140, "rule": "mean"})
    model = replace(loaded(MODEL, 2), card=card)
    told = [run_of(tmp_path, model=model, draws=draws, budget=1e-3).info.randomness for draws in (None, 20 * 10, 0)]
    assert [one and one.words for one in told] == [
        "majority of 14 means of 10 draws",
        "majority of 20 means of 10 draws",
        None,
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"draws": 5}, "--draws 5: by rule majority expected a whole number from 14"),
        ({"rule": "mode"}, "rule 'mode' is not one of majority, mean"),
        ({"precision": "float32"}, "leave out --precision and --compile"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(tmp_path, options, words):
    with pytest.raises(UsageError) as refused:
        run_of(tmp_path, **options)
    assert words in str(refused.value)


class Own(nn.Module):
    """Draws from a generator of its own, which nobody can seed."""

    def __init__(self):
        super().__init__()
        self.net, self.generator = Noisy(0.0), torch.Generator().manual_seed(0)

    def forward(self, images):
        return self.net(images) + 2 * torch.randn(len(images), 2, generator=self.generator)


def test_draws_that_do_not_come_again_are_a_warning(tmp_path):
    told = run_of(tmp_path, model=loaded(Own(), 2), draws=20, n=8).info.findings
    assert any(one.level == "warn" and "a generator of its own" in one.message for one in told)


def test_a_model_that_does_not_draw_is_told_what_votes_cost(tmp_path):
    told = run_of(tmp_path, model=loaded(MODEL.net, 2), draws=20, n=8).info.findings
    (finding,) = [one for one in told if one.check == "P5"]
    assert finding.level == "info"
    assert "answers alike each time" in finding.message


def test_witnesses_of_others_are_put_to_a_vote(tmp_path):
    """Those of the noiseless model, offered to one that a single draw would often turn."""
    run_of(tmp_path / "other", model=loaded(MODEL.net, 2, "plain"), draws=None)
    offered = run_of(tmp_path, transfer=(tmp_path / "other",))
    (finding,) = [one for one in offered.summary["findings"] if one["check"] == "P26"]
    assert finding["level"] == "info"


def test_from_python(tmp_path):
    pair = (DATA.images[:10], DATA.labels[:10])
    result = harness.evaluate(
        MODEL, suite(), pair, name="noisy", draws=20, results=tmp_path, device="cpu", progress=False
    )
    assert result.summary["randomness"]["draws"] == 20
    assert "mode observed, majority of 20 draws: grade" in str(result)
