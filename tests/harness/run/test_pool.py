"""Witnesses of other runs as an attack: what breaks here has a column, a key and a proof like any other."""

import shutil
from dataclasses import replace

import pyarrow as pa
import pytest
import torch
from clusters import carried
from masked import Zeroed, linear_problem, loaded, masked
from msgspec import structs
from observed import sorted_facts, suite
from toys import Linear, labeled

from harness.base.masks import Masks
from harness.errors import BadRun, BadSuite
from harness.evidence import witnesses
from harness.evidence.metrics import sample_outcomes
from harness.evidence.pool import Pool, pool_of
from harness.evidence.store import RunStore
from harness.inputs.prefixes import fault
from harness.inputs.registry import Registry
from harness.inputs.suite import Suite
from harness.measure.adapted.pool import Ask, within
from harness.measure.executors import local
from harness.run.adaptive import evaluate
from harness.run.job import Options
from harness.trust.verify.verify import VerifyOptions, verify
from harness.types import AttackSpec

NAME = "witnesses+pool"


class World:
    """A linear model that is measured as it is, and again behind a step that hides its gradient."""

    def __init__(self, folder):
        self.folder = folder
        self.net, self.data, needed = linear_problem(40)
        low, high = (float(needed.quantile(q)) for q in (0.3, 0.6))
        self.suite = suite((f"{low:.6f}", f"{high:.6f}"), chunk=16)
        self.labels = [epsilon.label for epsilon in self.suite.grid]
        self.open = evaluate(loaded(self.net, 2), self.suite, self.data, Options(folder, device="cpu"))

    def masked(self, *adapt, made=None, **options):
        whole = masked(mask=Zeroed(), net=self.net)
        told = Options(self.folder, device="cpu", adapt=adapt, **options)
        return evaluate(loaded(whole, 2, "masked"), made or self.suite, self.data, told)

    def verify(self, run, replay=0):
        whole = masked(mask=Zeroed(), net=self.net)
        return verify(run.folder, loaded(whole, 2, "masked"), self.data, VerifyOptions(replay, 1, "cpu"))

    def held(self, label):
        """Samples that the open run broke at this epsilon."""
        epsilon = next(e.value for e in self.suite.grid if e.label == label)
        return {i for i, stands in sample_outcomes(self.open.facts, "attack", epsilon).items() if not stands}

    @property
    def pool(self):
        return f"pool:{self.open.info.run_name}"


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "results")


def broken(run, attack, epsilon):
    return {i for i, stands in sample_outcomes(run.facts, attack, epsilon).items() if not stands}


def own(run):
    """Facts of the pool's column whose samples it was given."""
    return [row for row in run.facts.to_pylist() if row["attack"] == NAME and row["source"] != "transfer"]


def test_what_another_run_found_breaks_exactly_what_it_broke_there(world):
    run = world.masked(world.pool)
    assert run.info.suite.adapted == (NAME,)
    for epsilon in world.suite.grid:
        before = broken(run, "attack", epsilon.value)
        assert not world.held(epsilon.label) <= before
        assert broken(run, NAME, epsilon.value) == before | world.held(epsilon.label)
    worst = [row["robust_accuracy"] for row in run.summary["worst_case"]]
    assert worst == [(40 - len(broken(run, NAME, epsilon.value))) / 40 for epsilon in world.suite.grid]
    (finding,) = [f for f in run.summary["findings"] if f["check"] == "P30"]
    assert finding["level"] == "warn"
    assert f"{NAME} breaks " in finding["message"]


def test_each_witness_costs_a_forward_and_who_has_none_is_not_asked(world):
    run = world.masked(world.pool)
    pool = Pool((world.open.folder,))
    counts = pool.counts(range(40))
    for row in own(run):
        asked = row["forwards"]
        assert asked <= counts[row["sample_id"]]
        assert row["backwards"] == 0
        if row["outcome"] == "witness":
            assert asked == 1
    assert {row["forwards"] for row in own(run) if row["outcome"] == "survived"} == {0}


def test_the_same_command_finds_the_run_again_and_another_pool_is_another_run(world):
    first, again = world.masked(world.pool), world.masked(world.pool)
    assert (again.info.key, again.info.sessions) == (first.info.key, 2)
    assert again.facts.equals(first.facts)
    assert first.info.suite.attacks[1].adapt[0].weights == Pool((world.open.folder,)).sha256
    fresh = world.masked(world.pool, fresh=True)
    assert sorted_facts(fresh).equals(sorted_facts(first))
    shards = sorted((world.open.folder / "witnesses").iterdir())
    shards[-1].unlink()
    other = world.masked(world.pool)
    assert other.info.key != first.info.key


def test_a_run_goes_on_where_it_was_stopped_and_elsewhere_finds_the_same(world, monkeypatch):
    whole = world.masked(world.pool)
    for path in (whole.folder / "facts").glob(f"{NAME}*"):
        path.unlink()
    again = world.masked(world.pool, fresh=False)
    assert sorted_facts(again).equals(sorted_facts(whole))
    shutil.rmtree(world.folder / ".units")
    with monkeypatch.context() as patch:
        patch.setattr(local, "run", carried)
        there = world.masked(world.pool, fresh=True)
    assert sorted_facts(there).equals(sorted_facts(whole))


def test_verify_proves_it_and_attacks_its_survivors_again(world):
    run = world.masked(world.pool)
    verdict = world.verify(run, 1000)
    assert verdict.problems == ()
    assert [note.message for note in verdict.notes if note.check == "replay"] == []
    whole = verdict.replay.population
    assert all(bound.at_most == bound.claimed for bound in verdict.bounds)

    away = world.folder.with_name("away")
    world.open.folder.rename(away)
    without = world.verify(run, 1000)
    assert without.problems == ()
    (note,) = [note.message for note in without.notes if note.check == "replay"]
    assert "is not beside this one" in note
    standing = sum(row["outcome"] == "survived" for row in run.facts.to_pylist() if row["attack"] == NAME)
    assert whole - without.replay.population == standing > 0

    away.rename(world.open.folder)
    next((world.open.folder / "witnesses").iterdir()).unlink()
    changed = world.verify(run, 1000)
    assert changed.problems == ()
    assert any("has other witnesses here" in note.message for note in changed.notes)
    assert changed.replay.population == without.replay.population


def test_auto_offers_it_where_transfer_breaks_survivors_and_ends(world):
    """The pool is the cheapest, so it comes first, and what it held breaks nothing more afterwards."""
    run = world.masked("auto", transfer=[world.folder])
    first, *others = run.info.suite.adapted
    assert first == NAME
    assert others
    assert run.info.suite.attacks[1].adaptations == (world.pool,)
    (note,) = [f["message"] for f in run.summary["findings"] if f["check"] == "adapt"]
    assert "P26" in note
    (told,) = [f for f in run.summary["findings"] if f["check"] == "P26"]
    assert told["figure"] == 0.0  # what the pool held is broken now
    again = world.masked("auto", transfer=[world.folder])
    assert (again.info.key, again.info.sessions) == (run.info.key, 2)
    plain = world.masked("auto")
    assert NAME not in plain.info.suite.adapted


def test_runs_in_turns_come_to_an_end(world):
    """A run with a pool is in no pool, so what the first round measured is found again in the third."""
    alone, pooled = world.masked(), world.masked(world.pool)
    other = structs.replace(world.open.info, model=structs.replace(world.open.info.model, sha256="state:other"))
    folders = [run.folder for run in (world.open, alone, pooled)]
    assert pool_of(other, folders).folders == tuple(sorted((world.open.folder, alone.folder)))
    assert pool_of(alone.info, folders).folders == (world.open.folder,)


def test_the_attacks_in_front_are_those_of_a_run_without_it(world):
    plain, run = world.masked(), world.masked(world.pool, fresh=True)
    assert sorted_facts(plain).to_pylist() == [row for row in sorted_facts(run).to_pylist() if row["attack"] != NAME]


@pytest.mark.parametrize("mode", ["watch", "faithful", "worst-case", "bisection"])
def test_in_every_mode_it_breaks_the_same(world, mode):
    run = world.masked(world.pool, made=world.suite.with_mode(mode))
    for epsilon in world.suite.grid:
        found = broken(run, NAME, epsilon.value)
        assert world.held(epsilon.label) <= found
        assert found <= world.held(epsilon.label) | broken(run, "attack", epsilon.value)


def test_a_pool_that_is_none_is_one_line(world, tmp_path):
    with pytest.raises(BadRun, match=r"'pool:gone': no run 'gone' in .*put it there, or name it with --transfer"):
        world.masked("pool:gone")
    mine = world.masked()
    with pytest.raises(BadRun, match="of no use here: it is of this very model"):
        world.masked(f"pool:{mine.info.run_name}")
    elsewhere = labeled(Linear(seed=3), 40, seed=9)
    other = evaluate(loaded(Linear(seed=3), 2), world.suite, elsewhere, Options(tmp_path / "o", device="cpu"))
    with pytest.raises(BadRun, match="of no use here: its samples are others"):
        world.masked(f"pool:{other.info.run_name}", transfer=[tmp_path / "o"])
    info = RunStore(world.open.folder).read_json("run.json")
    RunStore(world.open.folder).write_json("run.json", info | {"status": "interrupted"})
    with pytest.raises(BadRun, match="of no use here: it is not finished"):
        world.masked(world.pool)


def test_a_pool_and_what_asks_about_it_need_each_other():
    def resolved(**attack):
        made = suite()
        return Suite(**{**vars(made), "attacks": (*made.attacks, AttackSpec(**attack))}).resolve()

    with pytest.raises(BadSuite, match="its adapt names none: pool:RUN"):
        resolved(id="w", tool="harness", method="pool")
    with pytest.raises(BadSuite, match="asks about no pool, harness"):
        resolved(id="a+pool", tool="torchattacks", method="fgsm", adapt=("pool:x",))


def test_dearer_attacks_behind_a_pool_are_refused():
    """They would see what was found on other samples than theirs, and the estimate would be biased."""
    asked = AttackSpec("w+pool", "harness", "pool", {}, adapt=("pool:x",))
    dear = AttackSpec("pgd-9+margin", "torchattacks", "pgd", {}, n=16, adapt=("margin",))
    front = suite().attacks[0]
    assert fault((front, asked, dear), 16).message.endswith("must not see; put it last")
    assert fault((front, dear, replace(asked, n=16)), 16) is None
    assert fault((front, replace(asked, n=16), dear), 16) is None


def test_the_card_says_what_the_class_says():
    details = Registry("attacks").get("harness.pool").details("cards/attacks")
    assert details["norms"] == list(Ask.norms)
    assert details["threats"] == list(Ask.threats)
    assert (details["kind"], details["iterative"]) == (Ask.kind, Ask.iterative)
    assert details["distribution"] == Ask.distribution


def test_a_patch_is_offered_where_its_square_holds_it(tmp_path):
    """A pixel under the smallest square, one under a larger one, and one value that is no image's."""
    clean = torch.full((2, 3, 8, 8), 0.5)
    masks = Masks.over([4, 9], clean.shape)
    near, far, none = clean[1].clone(), clean[1].clone(), clean[1].clone()
    near[:, masks.sides[1, 0] == 1] = 1.0
    far[:, masks.sides[1, 0] == 5] = 1.0
    none[:, masks.sides[1, 0] == 1] = 2.0
    images = torch.stack([near, far, none, near])
    store = RunStore.create(tmp_path, "r")
    columns = {"sample_id": [9] * 4, "attack": ["a"] * 4, "component": [None] * 4, "epsilon": [0.1] * 4,
               "distance": [0.0] * 4, "margin": [0.0] * 4, "adv_pred": [0] * 4,
               "image": witnesses.encode(images, clean[[1] * 4])}  # fmt: skip
    store.write_witnesses("x-00000.parquet", pa.Table.from_pydict(columns, schema=witnesses.SCHEMA), [])
    empty, mine = within(Pool((store.folder,)), [4, 9], clean, "linf", 1 / 64, masks)
    assert empty.shape == (0, 3, 8, 8)
    assert torch.equal(mine, near[None])
    assert len(within(Pool((store.folder,)), [9], clean[1:], "linf", 25 / 64, masks[slice(1, 2)])[0]) == 2
