"""Survivors attacked again: what honest luck looks like, and what a forger who hides breaks or ran less looks like."""

import dataclasses

import pyarrow.compute as pc
import pytest
import torch
from forgery import Forger, hide
from toys import Linear, SmallNet, labeled, loaded, scripted

from harness.base.statistics import exact_upper_bound
from harness.base.threat import parse_grid
from harness.errors import MissingPackage
from harness.evidence.store import RunStore
from harness.inputs.suite import Suite
from harness.run.job import Options, evaluate
from harness.trust.verify import replay as replaying
from harness.trust.verify.places import read_records
from harness.trust.verify.replay import REPEATS, draw, survivors
from harness.trust.verify.verdict import Contradictions
from harness.trust.verify.verify import VerifyOptions, verify
from harness.types import AttackSpec

FGSM = AttackSpec("fgsm", "torchattacks", "fgsm", {})


def pgd(steps=10):
    return AttackSpec("pgd", "torchattacks", "pgd", {"steps": steps, "step_size": "epsilon/4", "random_start": True})


def suite(*attacks, grid=("4/255", "12/255"), chunk=128):
    return Suite(
        name="toy", version=1, norm="linf", grid=parse_grid(grid), mode="observed", chunk=chunk, attacks=attacks
    )


def again(k, seed=0):
    return VerifyOptions(k, seed, "cpu")


def population_of(folder):
    store = RunStore(folder)
    records = read_records(store, store.read_info(), Contradictions())
    return records, survivors(records, records.ids >= 0)


@pytest.fixture(scope="module")
def setting():
    model = SmallNet()
    return model, labeled(model, 300, wrong=10)


@pytest.fixture(scope="module")
def honest(tmp_path_factory, setting):
    model, data = setting
    where = tmp_path_factory.mktemp("honest")
    return evaluate(loaded(model, 5), suite(FGSM, pgd()), data, Options(where, device="cpu")).folder


def test_an_honest_run_stands_when_every_survivor_is_attacked_again(honest, setting):
    model, data = setting
    verdict = verify(honest, loaded(model, 5), data, again(10_000))
    replay = verdict.replay
    assert verdict.problems == ()
    assert replay.drawn == replay.population == verdict.survivors > 500
    assert verdict.value == f"replayed {replay.drawn}"
    assert replay.false == 0
    assert all(hit.attack == "pgd" for hit in replay.hits)  # FGSM has no luck: the same step breaks the same samples
    assert replay.at_most == exact_upper_bound(len(replay.hits), replay.drawn)


def test_the_draw_is_the_seeds_alone_and_every_survivor_is_as_likely(honest):
    _, population = population_of(honest)
    assert draw(population, 20, 1) == draw(population, 20, 1) != draw(population, 20, 2)
    assert len(set(draw(population, 20, 1))) == 20
    assert draw(population, 10**6, 3) == list(population)
    seen = [one.place for seed in range(200) for one in draw(population, 10, seed)]
    for place in {one.place for one in population}:
        share = sum(one.place == place for one in population) / len(population)
        # 2,000 draws: four standard deviations of a share are at most 4.5 %.
        assert seen.count(place) / len(seen) == pytest.approx(share, abs=0.045)


def forged(honest, folder, data, share=0.05):
    """Breaks turned into survivors, so that `share` of the survivors are false; recounted and rehashed.

    Returns the forger and what he hid: pairs of sample and epsilon.
    """
    forger = Forger(honest, folder, data)
    rows = [row for row in forger.all_facts() if row["attack"] != "clean"]
    broken = [row for row in rows if row["attack"] == "pgd" and row["outcome"] in ("witness", "inherited")]
    standing = sum(row["outcome"] == "survived" for row in rows)
    hidden, samples = set(), set()
    for sample in dict.fromkeys(row["sample_id"] for row in broken):
        if len(hidden) < share / (1 - share) * standing:
            samples.add(sample)
            hidden |= {(sample, row["epsilon"]) for row in broken if row["sample_id"] == sample}
    assert hide(forger, samples, "pgd") == len(hidden)
    forger.rehash()
    return forger, hidden


def test_a_forger_of_one_survivor_in_twenty_is_caught_by_a_hundred(honest, tmp_path, setting):
    """Each draw misses with probability 0.95, all hundred with 0.95^100 = 0.6 %."""
    model, data = setting
    forger, hidden = forged(honest, tmp_path / "run", data)
    assert verify(forger.folder, loaded(model, 5), data, again(0)).value == "breaks verified"

    records, population = population_of(forger.folder)
    pairs = {one: (int(records.ids[one.at]), records.grid[one.place[2]].value) for one in population}
    false = {one for one in population if one.place[0] == "pgd" and pairs[one] in hidden}
    assert len(false) == len(hidden)
    assert 0.05 <= len(false) / len(population) < 0.053
    found = [bool(false & set(draw(population, 100, seed))) for seed in range(1000)]
    assert 1 - 0.95**100 > 0.994
    assert sum(found) >= 990

    for seed in (0, 1, 2):
        verdict = verify(forger.folder, loaded(model, 5), data, again(100, seed))
        assert verdict.value == "no"
        assert {problem.check for problem in verdict.problems} == {"replay"}
        named = {hit.sample_id for hit in verdict.replay.hits if hit.false}
        assert named
        assert named <= {sample for sample, _ in hidden}
        assert all(f"{REPEATS + 1} runs of {REPEATS + 1}" in problem.message for problem in verdict.problems)
        assert verdict.replay.at_most > 0.04


def test_a_weaker_attack_than_recorded_is_caught(tmp_path, setting):
    model, data = setting
    weak = evaluate(loaded(model, 5), suite(pgd(1)), data, Options(tmp_path / "weak", device="cpu"))
    forger = Forger(weak.folder, tmp_path / "run", data)
    (strong,) = suite(pgd()).resolve()

    def change(info):
        (attack,) = info["suite"]["attacks"]
        attack["params"]["steps"] = 10
        attack["resolved"] = {e.label: strong.parameters(e.value) for e in suite(pgd()).grid}

    forger.edit_json("run.json", change)
    forger.rehash()
    assert verify(forger.folder, loaded(model, 5), data, again(0)).value == "breaks verified"
    verdict = verify(forger.folder, loaded(model, 5), data, again(100))
    assert verdict.value == "no"
    assert verdict.replay.false > 0


def test_parameters_that_the_attack_does_not_have_are_named(honest, tmp_path, setting):
    """The suite says ten steps and what it resolved to says a thousand."""
    model, data = setting
    forger = Forger(honest, tmp_path / "run", data)

    def change(info):
        for resolved in info["suite"]["attacks"][1]["resolved"].values():
            resolved["steps"] = 1000

    forger.edit_json("run.json", change)
    forger.rehash()
    verdict = verify(forger.folder, loaded(model, 5), data, again(100))
    assert [problem.message for problem in verdict.problems] == [
        "pgd: run.json records another resolved than the attack has here"
    ]
    assert verdict.value == "no"


class Masked(SmallNet):
    """Its input is rounded, so that every gradient is zero."""

    def forward(self, images):
        return super().forward((images * 16).round() / 16)


@pytest.mark.parametrize("told", [0, None], ids=["no dead gradient", "not counted"])
def test_survivors_that_were_never_attacked_cannot_be_told_as_attacked(tmp_path, told):
    model = Masked()
    data = labeled(model, 40)
    run = evaluate(loaded(model, 5), suite(pgd(), grid=("8/255",)), data, Options(tmp_path / "masked", device="cpu"))
    assert any(finding["check"] == "P7" and finding["level"] == "error" for finding in run.summary["findings"])
    assert verify(run.folder, loaded(model, 5), data, again(20)).value == "replayed 20"  # it says so itself
    forger = Forger(run.folder, tmp_path / "run", data)
    forger.edit_facts(lambda r: {**r, "dead_gradients": told} if r["attack"] == "pgd" else r)
    forger.edit_json("run.json", lambda info: info.update(findings=[]))
    forger.rehash()
    assert verify(forger.folder, loaded(model, 5), data, again(0)).value == "breaks verified"
    verdict = verify(forger.folder, loaded(model, 5), data, again(20))
    assert verdict.value == "no"
    assert [problem.message for problem in verdict.problems] == [
        "20 of 20 survivors had no gradient in most steps when they were attacked again, which their facts do not say"
        " (pgd)"
    ]


def coin(chance):
    """Breaks each sample with this probability, as the seed has it."""

    def play(observer, problem):
        fall = torch.rand(len(problem.images), generator=torch.Generator().manual_seed(problem.seed)) < chance
        return torch.where(fall[:, None, None, None], 1 - problem.images, problem.images)

    return play


@pytest.mark.parametrize(("chance", "n", "fewest", "most"), [(0.5, 80, 20, 60), (0.9, 600, 40, 80)])
def test_luck_counts_in_the_bound_and_is_no_forgery(chance, n, fewest, most, tmp_path, monkeypatch):
    """Of 40 that break in nine runs of ten, one that breaks 20 times on end is the rule."""
    model = Linear()  # antisymmetric about the middle gray: 1 - x has the other class
    data = labeled(model, n)
    monkeypatch.setattr(Suite, "resolve", lambda self: (scripted(coin(chance)),))
    chosen = suite(AttackSpec("coin", "test", "scripted", {}), grid=("0", "1"))
    run = evaluate(loaded(model, 2), chosen, data, Options(tmp_path, device="cpu"))
    ended = run.facts.filter(pc.equal(run.facts["epsilon"], 1))["outcome"].to_pylist()
    standing = ended.count("survived")
    assert fewest < standing < most
    verdict = verify(run.folder, loaded(model, 2), data, again(1000))
    assert verdict.problems == ()
    assert verdict.replay.population == standing  # not those of epsilon 0, which nothing can break
    share = len(verdict.replay.hits) / standing
    assert chance - 0.3 < share < chance + 0.3
    assert verdict.replay.at_most > share or share == 1
    assert all(hit.again < REPEATS for hit in verdict.replay.hits)


@pytest.mark.parametrize("mode", ["observed", "faithful", "bisection", "worst-case"])
def test_every_survivor_of_an_honest_run_stands_when_its_unit_is_run_as_it_was(mode, tmp_path, setting, monkeypatch):
    """With the run's seed, its chunks, and the samples that stood before, the random starts are the same."""
    model, data = setting
    monkeypatch.setattr(replaying, "REPEATS", 0)  # so that one break is enough to ask for the unit
    attacks = (dataclasses.replace(pgd(1), id="first"), dataclasses.replace(pgd(2), chunk=64))
    chosen = dataclasses.replace(suite(*attacks, grid=("24/255", "48/255")), mode=mode)
    run = evaluate(loaded(model, 5), chosen, data, Options(tmp_path, device="cpu", seed=7))
    verdict = verify(run.folder, loaded(model, 5), data, again(10_000))
    assert len(verdict.replay.hits) > 10
    assert verdict.replay.false == 0
    assert verdict.problems == ()


@pytest.mark.parametrize("honest", [True, False], ids=["stood by its random start", "never stood"])
def test_only_a_survivor_that_its_own_unit_breaks_as_well_is_false(honest, tmp_path, monkeypatch):
    """One stands in the run and breaks under every other seed; a forger says the same of one that broke."""
    model = Linear()
    data = labeled(model, 80)
    lucky = []  # the first seed of all, and what was attacked with it

    def play(observer, problem):
        if not lucky:
            lucky.extend((problem.seed, problem.images))
        if problem.seed != lucky[0]:
            return 1 - problem.images
        assert torch.equal(lucky[1], problem.images)
        return torch.cat([1 - problem.images[:5], problem.images[5:6], 1 - problem.images[6:]])

    monkeypatch.setattr(Suite, "resolve", lambda self: (scripted(play),))
    chosen = suite(AttackSpec("lucky", "test", "scripted", {}), grid=("1",), chunk=16)
    run = evaluate(loaded(model, 2), chosen, data, Options(tmp_path / "run", device="cpu"))
    assert run.facts.filter(pc.field("attack") == "lucky")["outcome"].to_pylist().count("survived") == 1
    if not honest:
        lucky[0] = None
    verdict = verify(run.folder, loaded(model, 2), data, again(100))
    (hit,) = verdict.replay.hits
    assert (hit.again, hit.false) == (REPEATS, not honest)
    assert verdict.ok == honest
    told = [note.message for note in verdict.notes if note.check == "replay"]
    stands = f"lucky at 255/255: sample {hit.sample_id} stands with the run's own seed alone"
    assert told == ([f"{stands}: the recorded attack breaks it in 200 runs of 200"] if honest else [])
    assert verdict.replay.at_most == 1  # luck counts in the bound, whoever had it


def test_attacks_that_run_once_for_the_grid_are_replayed_so(tmp_path, monkeypatch):
    """A survivor at a small epsilon is false if the nearest witness is inside its ball, not if there is one at all."""
    model = Linear()
    data = labeled(model, 40, low=0.35, high=0.65)
    asked = []

    def exact(observer, problem):
        asked.append((problem.epsilon, len(problem.images)))
        sign = torch.where(problem.labels == 1, -1.0, 1.0)[:, None]
        step = (sign * model.weight.detach().sign()).view_as(problem.images)
        needed = model.margin(problem.images, "linf").float()[:, None, None, None] * 1.0001
        return problem.images + needed * step

    monkeypatch.setattr(Suite, "resolve", lambda self: (scripted(exact, kind="minimum"),))
    middle = f"{float(model.margin(data.images, 'linf').median()):.6f}"
    chosen = suite(AttackSpec("nearest", "test", "scripted", {}), grid=(middle, "0.3"))
    run = evaluate(loaded(model, 2), chosen, data, Options(tmp_path / "honest", device="cpu"))
    asked.clear()
    verdict = verify(run.folder, loaded(model, 2), data, again(1000))
    assert verdict.problems == ()
    assert verdict.replay.drawn == 20
    assert verdict.replay.hits == ()
    assert asked == [(0.3, 20)]


def test_a_run_without_survivors_has_nothing_to_replay(tmp_path, monkeypatch):
    model = Linear()
    data = labeled(model, 20)
    monkeypatch.setattr(Suite, "resolve", lambda self: (scripted(lambda observer, problem: 1 - problem.images),))
    chosen = suite(AttackSpec("all", "test", "scripted", {}), grid=("1",))
    run = evaluate(loaded(model, 2), chosen, data, Options(tmp_path, device="cpu"))
    verdict = verify(run.folder, loaded(model, 2), data, again(100))
    assert verdict.problems == ()
    assert verdict.survivors == verdict.replay.drawn == 0
    assert verdict.value == "breaks verified"


def test_a_tool_that_is_not_here_is_bad_input_and_one_that_fails_is_named(tmp_path, monkeypatch):
    model = SmallNet()
    data = labeled(model, 20)
    monkeypatch.setattr(Suite, "resolve", lambda self: (scripted(lambda observer, problem: problem.images),))
    chosen = suite(AttackSpec("s", "test", "scripted", {}))
    run = evaluate(loaded(model, 5), chosen, data, Options(tmp_path, device="cpu"))

    def absent(self):
        raise MissingPackage("tool is not installed; run: pip install tool")

    def fails(observer, problem):
        raise ValueError("fell over")

    monkeypatch.setattr(Suite, "resolve", lambda self: (scripted(fails),))
    verdict = verify(run.folder, loaded(model, 5), data, again(100))
    assert {problem.check for problem in verdict.problems} == {"replay"}
    assert any("could not be attacked again" in problem.message and "fell over" in problem.message
               for problem in verdict.problems)  # fmt: skip
    assert verdict.value == "no"
    gone = scripted(fails)
    monkeypatch.setattr(type(gone), "tool_version", absent)
    monkeypatch.setattr(Suite, "resolve", lambda self: (gone,))
    assert verify(run.folder, loaded(model, 5), data, again(0)).ok  # without replay no tool is asked for
    with pytest.raises(MissingPackage):
        verify(run.folder, loaded(model, 5), data, again(100))


def test_a_refuted_run_is_not_replayed(honest, tmp_path, setting):
    model, data = setting
    forger = Forger(honest, tmp_path / "run", data)
    forger.edit_json("summary.json", lambda summary: summary.update(n=299))
    verdict = verify(forger.folder, loaded(model, 5), data, again(100))
    assert verdict.replay is None
    assert any("refuted already" in note.message for note in verdict.notes)


def test_replay_leaves_the_model_as_it_was(honest, setting):
    _, data = setting
    model = SmallNet().train()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    verify(honest, loaded(model, 5), data, dataclasses.replace(again(20), seed=4))
    assert all(part.training for part in model.modules())
    assert all(torch.equal(weights[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
