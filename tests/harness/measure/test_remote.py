"""What runs elsewhere has the local executor's facts and witnesses, says what is wrong there, and stops in time."""

import sys

import pyarrow.compute as pc
import pytest
from clusters import TWO, carried
from masked import Zeroed, linear_problem, loaded, masked
from noisy import Noisy
from observed import sorted_facts, suite
from toys import Patient, SmallNet, labeled

from harness.evidence.store import RunStore
from harness.measure.done import Done, GivenUp
from harness.measure.executors import local
from harness.measure.executors.remote import Failed, Remote, homeless, pack
from harness.run.adaptive import evaluate
from harness.run.job import Options
from harness.types import Scale

EXECUTORS = ["carried", pytest.param("ray", marks=pytest.mark.slow)]


@pytest.fixture
def run_on(request, tmp_path, monkeypatch):
    """Runs a job here and with another executor, and gives both runs."""

    def run(model, made, data, executor, **options):
        if executor == "ray":
            request.getfixturevalue("cluster")
        found = []
        for name in ("local", executor):
            with monkeypatch.context() as patch:
                if name == "carried":
                    patch.setattr(local, "run", carried)
                scale = TWO if name == "ray" else Scale()
                told = Options(
                    tmp_path / name, device="cpu", batch_size=12, precision="exact", scale=scale,
                    executor="ray" if name == "ray" else "local", **options,
                )  # fmt: skip
                found.append(evaluate(model, made, data, told))
        return found

    return run


def witnesses_of(run):
    return sorted((row for table in RunStore(run.folder).all_witnesses() for row in table.to_pylist()), key=str)


@pytest.mark.torchattacks
@pytest.mark.parametrize("executor", EXECUTORS)
def test_adapted_attacks(run_on, executor):
    """Each worker makes its own copies, and what they break lies on disk for the units that follow."""
    model, data, needed = linear_problem(24)
    epsilon = float(needed.median())
    whole = loaded(masked(mask=Zeroed(), net=model), 2)
    here, there = run_on(
        whole, suite((epsilon / 2, epsilon), chunk=12, steps=5), data, executor, adapt=("attack=identity:mask",)
    )
    assert sorted_facts(here).equals(sorted_facts(there))
    assert witnesses_of(here) == witnesses_of(there)
    (adapted,) = there.info.suite.adapted
    mine = there.facts.filter(pc.equal(there.facts["attack"], adapted))
    assert pc.any(pc.equal(mine["source"], "query")).as_py(), "the adaptation finds what the attack alone does not"


@pytest.mark.torchattacks
@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("adapt", [(), ("attack=average:3",)])
def test_votes(run_on, executor, adapt):
    """Draws are seeded by run, sample and draw: they hang neither on the process nor on what was asked before."""
    model = Noisy(0.1)
    data = labeled(model.net, 16, low=0.35, high=0.65)
    made = suite(("1/255", "4/255"), chunk=8, steps=5)
    here, there = run_on(loaded(model, 2), made, data, executor, adapt=adapt, draws=20)
    assert sorted_facts(here).equals(sorted_facts(there))
    assert witnesses_of(here) == witnesses_of(there)
    assert all(row["votes"] > 0 for row in witnesses_of(there))
    assert len(witnesses_of(there)) > 0


@pytest.mark.torchattacks
def test_an_average_is_judged_by_the_vote(run_on, tmp_path):
    """The mean of draws proposes; what counts is the majority, which of symmetric noise is the plane's own side."""
    model = Noisy(0.3)
    data = labeled(model.net, 24, low=0.35, high=0.65)
    needed = model.net.margin(data.images, "linf")
    epsilon = float(needed.median())
    made = suite((epsilon,), chunk=24, steps=5)
    options = Options(tmp_path, device="cpu", draws=60, adapt=("attack=average:10",))
    run = evaluate(loaded(model, 2), made, data, options)
    (adapted,) = run.info.suite.adapted
    whole = run.facts.filter(pc.equal(run.facts["attack"], adapted))
    outcome = dict(zip(whole["sample_id"].to_pylist(), whole["outcome"].to_pylist(), strict=True))
    beyond = (needed > 1.001 * epsilon).nonzero().flatten().tolist()
    assert all(outcome[i] == "survived" for i in beyond), "no majority is wrong inside the ball, whatever draws say"
    assert "witness" in outcome.values()


@pytest.fixture
def case(tmp_path):
    """A run of five steps at one epsilon, as arguments of `evaluate`."""
    told = Options(tmp_path, device="cpu", batch_size=12, precision="exact")

    def of(model):
        return loaded(model, 5), suite(("8/255",), chunk=12, steps=5), labeled(model, 48, wrong=3), told

    return of


def test_a_worker_elsewhere_says_what_is_wrong(case, tmp_path, monkeypatch):
    """Other versions, and a results folder that it does not see; nothing is raised across the wire."""
    parcels = []

    def capture(worker, lanes, stop, scale):
        parcels.append(pack(worker, worker.store.read_json("plan.json")["key"]))
        return iter(())

    monkeypatch.setattr(local, "run", capture)
    evaluate(*case(SmallNet()))
    (parcel,) = parcels
    assert not isinstance(Remote(lambda: parcel).hello(), Failed)
    monkeypatch.setitem(parcel.versions, "torch", "1.0")
    answer = Remote(lambda: parcel).hello()
    assert "has torch" in answer.message
    assert "the driver 1.0" in answer.message
    monkeypatch.undo()
    parcel.worker.store = RunStore(tmp_path / "elsewhere")
    assert "does not see" in Remote(lambda: parcel).hello().message

    def broken():
        raise ModuleNotFoundError("No module named 'mine'")

    answer = Remote(broken).hello()
    assert "ModuleNotFoundError: No module named 'mine'" in answer.message
    assert answer.trace


@pytest.mark.torchattacks
def test_a_worker_elsewhere_stops_within_a_unit_when_the_time_it_was_given_is_over(case, monkeypatch):
    parcels = []

    def capture(worker, lanes, stop, scale):
        parcels.append((pack(worker, worker.store.read_json("plan.json")["key"]), lanes))
        return iter(())

    monkeypatch.setattr(local, "run", capture)
    evaluate(*case(Patient()))
    ((parcel, lanes),) = parcels
    remote = Remote(lambda: parcel)
    assert isinstance(remote.compute(lanes[0], 0, None), Done)  # the clean pass
    attack = next(lane for lane in lanes if lane.attack == 0)
    cut = remote.compute(attack, 0, 0.1)  # five steps are ten times 30 ms
    assert isinstance(cut, GivenUp)
    assert cut.whole is None or cut.whole > 0.15  # where it was over before the first query, nothing is known
    assert isinstance(remote.compute(attack, 0, None), Done)


def test_classes_of_a_lone_file_travel_with_the_model():
    import types

    lone = types.ModuleType("harness_model_lone")
    exec("from torch import nn\nclass Net(nn.Linear):\n    pass\n", lone.__dict__)
    assert homeless(lone.Net(1, 1), {"harness_model_lone": lone}) == [lone]
    assert homeless(SmallNet(), {SmallNet.__module__: sys.modules[SmallNet.__module__]}) == []
