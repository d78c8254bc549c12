"""A budget holds: within a unit, too, of which what is finished stays, and the next start finds the same facts."""

import time

import pytest
import torch
from toys import CASCADE, SmallNet, labeled, loaded, scripted

from harness.base.deadline import Deadline
from harness.base.threat import parse_grid
from harness.evidence import unfinished
from harness.evidence.store import RunStore
from harness.inputs.suite import Suite
from harness.measure.unit import interim
from harness.run.job import Options, evaluate
from harness.run.progress import Silent
from harness.types import AttackSpec

MODES = ("observed", "watch", "faithful", "worst-case", "bisection")
PGD = AttackSpec(
    "pgd", "torchattacks", "pgd", {"steps": 3, "step_size": "epsilon/2", "random_start": True, "restarts": 3}
)
LONG = 1e6
"""A budget that is never over by the clock."""


@pytest.fixture(autouse=True)
def always_kept(monkeypatch):
    """What is found is worth being kept, however fast it was."""
    monkeypatch.setattr(interim, "WORTH", 0.0)
    monkeypatch.setattr(interim, "SHARE", 0)


def suite(mode="observed", attacks=(PGD, CASCADE), grid=("2/255", "8/255"), chunk=10):
    return Suite(
        name="toy", version=1, norm="linf", grid=parse_grid(grid), mode=mode, chunk=chunk, attacks=tuple(attacks)
    )


def evidence(run):
    """Facts and witnesses, shard by shard."""
    store = RunStore(run.folder)
    shards = {
        f"{part}/{path.name}": path for part in ("facts", "witnesses") for path in (store.folder / part).iterdir()
    }
    return {name: path.read_bytes() for name, path in shards.items()}


class Trip:
    """A clock by which the time is over once it was looked at so often."""

    def __init__(self, monkeypatch):
        self.left = 10**9
        monkeypatch.setattr(Deadline, "over", property(self._over))

    def _over(self, deadline):
        self.left -= deadline.known
        return deadline.known and self.left < 0


class Noisy(torch.nn.Module):
    """Draws for every query."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        return self.model(images + 0.01 * torch.randn_like(images))


@pytest.mark.torchattacks
@pytest.mark.parametrize("mode", MODES)
def test_wherever_it_ends_the_next_start_finds_the_same_facts(tmp_path, monkeypatch, mode):
    model = SmallNet()
    data = labeled(model, 10, wrong=1)
    trip = Trip(monkeypatch)
    whole = evaluate(loaded(model, 5), suite(mode), data, Options(tmp_path / "whole", precision="exact"))
    starts, cut, at = 0, 0, 9
    while True:
        trip.left = at
        run = evaluate(loaded(model, 5), suite(mode), data, Options(tmp_path, precision="exact", budget=LONG))
        starts, at = starts + 1, at + 60
        cut += any((run.folder / unfinished.FOLDER).iterdir())
        if run.complete:
            break
        assert run.info.status == "interrupted"
    assert starts > 1
    assert cut
    assert evidence(run) == evidence(whole)
    assert not any((run.folder / unfinished.FOLDER).iterdir())
    assert run.info.key == whole.info.key


def test_a_randomized_model_goes_on_drawing_where_it_stood(tmp_path, monkeypatch):
    net = SmallNet()
    model, data = Noisy(net), labeled(net, 10)
    trip = Trip(monkeypatch)
    options = {"precision": "exact", "force": True}
    whole = evaluate(loaded(model, 5), suite(attacks=(CASCADE,)), data, Options(tmp_path / "whole", **options))
    for at in (12, 45, 10**6):
        trip.left = at
        run = evaluate(loaded(model, 5), suite(attacks=(CASCADE,)), data, Options(tmp_path, budget=LONG, **options))
        if run.complete:
            break
    assert run.complete
    assert at > 12
    assert evidence(run) == evidence(whole)


class Script:
    """A cascade's place: asks five times a call, 20 ms a query, and does something at one of them."""

    def __init__(self, at=None, what=None):
        self.at, self.what = at, what
        self.calls, self.answered = [], 0

    def __call__(self, observer, problem):
        self.calls.append((problem.component, problem.restart))
        for query in range(5):
            observer(problem.images)
            self.answered += 1
            time.sleep(0.02)
            if (problem.component, problem.restart, query) == self.at:
                self.what(observer)
        return problem.images + 0.01 * torch.rand_like(problem.images)


def played(monkeypatch, play, **flags):
    monkeypatch.setattr(Suite, "resolve", lambda self: (scripted(play, **flags),))


def over(observer):
    observer.deadline.set(0)


def start(tmp_path, **options):
    model = SmallNet()
    chosen = suite(attacks=(AttackSpec("slow", "torchattacks", "pgd", {}),), grid=("8/255",), chunk=20)
    return evaluate(loaded(model, 5), chosen, labeled(model, 20, wrong=2), Options(tmp_path, **options))


def said_of_budget(run):
    """What was thrown away, and what is missing."""
    found = {f["level"]: f["message"] for f in run.summary["findings"] if f["check"] == "budget"}
    return found["info"], found["warn"]


THREE = {"components": ("one", "two", "three"), "freezable": False}


def test_the_time_is_over_within_a_component(tmp_path, monkeypatch):
    played(monkeypatch, Script(), **THREE)
    whole = start(tmp_path / "whole")
    script = Script(("two", 0, 2), over)
    played(monkeypatch, script, **THREE)
    run = start(tmp_path, budget=LONG)
    assert script.answered == 5 + 3  # the next query is not answered
    assert not run.complete
    assert run.info.status == "interrupted"
    assert run.summary["cells"] == []  # what is finished of a unit is no evidence yet
    said = said_of_budget(run)
    (lost,) = run.summary["thrown_away"]
    assert {name: lost[name] for name in ("attack", "epsilon_label", "component", "times")} == {
        "attack": "slow", "epsilon_label": "8/255", "component": "two", "times": 1,
    }  # fmt: skip
    assert 0.06 <= lost["seconds"] < run.info.seconds
    assert said[0].startswith(f"slow at 8/255, chunk 0: {lost['seconds']:.1f} s of two are thrown away")
    assert "missing: slow at 8/255; one of slow at 8/255, chunk 0, are done" in said[1]
    script = Script()
    played(monkeypatch, script, **THREE)
    again = start(tmp_path)
    assert again.complete
    assert script.calls == [("two", 0), ("three", 0)]
    assert evidence(again) == evidence(whole)
    assert again.summary["thrown_away"] == run.summary["thrown_away"]
    assert "thrown_away" not in whole.summary
    cost, other = again.info.compute[0], whole.info.compute[0]
    assert cost.seconds > 0.3  # of both starts
    assert (cost.backwards, cost.units) == (other.backwards, other.units)


def test_the_time_is_over_within_a_restart(tmp_path, monkeypatch):
    play = Script()
    played(monkeypatch, play, restarts=4)
    whole = start(tmp_path / "whole")
    played(monkeypatch, Script((None, 2, 0), over), restarts=4)
    run = start(tmp_path, budget=LONG)
    said = said_of_budget(run)
    assert "s of restart 3 are thrown away" in said[0]
    assert "2 restarts of slow at 8/255, chunk 0, are done" in said[1]
    script = Script()
    played(monkeypatch, script, restarts=4)
    again = start(tmp_path)
    assert [restart for _, restart in script.calls] == [2, 3]
    assert evidence(again) == evidence(whole)


def test_samples_that_are_attacked_one_by_one_stay(tmp_path, monkeypatch):
    calls = []

    def play(observer, problem):
        calls.append(0)
        observer(problem.images)
        if len(calls) == 6:
            over(observer)
            observer(problem.images)
        return problem.images + 0.01 * torch.rand_like(problem.images)

    played(monkeypatch, play, one_by_one=True)
    run = start(tmp_path, budget=LONG)
    assert "5 samples of slow at 8/255, chunk 0, are done" in str(run.summary["findings"])
    again = start(tmp_path)
    assert len(calls) == 18 + 1  # of 20 samples two are wrong; the sixth was begun twice
    calls[:] = [0] * 100
    assert evidence(again) == evidence(start(tmp_path / "whole"))


def test_one_ctrl_c_ends_behind_the_component(tmp_path, monkeypatch):
    class Pressed(Silent):
        def stop(self):
            return bool(script.calls)

    script = Script()
    played(monkeypatch, script, **THREE)
    model = SmallNet()
    chosen = suite(attacks=(AttackSpec("slow", "torchattacks", "pgd", {}),), grid=("8/255",), chunk=20)
    run = evaluate(loaded(model, 5), chosen, labeled(model, 20, wrong=2), Options(tmp_path), Pressed())
    assert script.calls == [("one", 0)]
    assert not run.complete
    assert "thrown_away" not in run.summary
    assert start(tmp_path).complete
    assert script.calls == [("one", 0), ("two", 0), ("three", 0)]


def test_a_killed_run_loses_one_component(tmp_path, monkeypatch):
    class Killed(BaseException):
        """Nothing is done on the way out."""

    def kill(_observer):
        raise Killed

    played(monkeypatch, Script(("three", 0, 0), kill), **THREE)
    with pytest.raises(Killed):
        start(tmp_path)
    script = Script()
    played(monkeypatch, script, **THREE)
    assert start(tmp_path).complete
    assert script.calls == [("three", 0)]


def test_what_belongs_to_another_question_is_left_alone(tmp_path):
    state = {"a": torch.arange(3).numpy(), "b": [None, "x", {"c": torch.tensor(1.5).numpy()}]}
    (tmp_path / unfinished.FOLDER).mkdir()
    unfinished.keep(tmp_path, "u.parquet", "key", state)
    found = unfinished.read(tmp_path, "u.parquet", "key")
    assert found["a"].tolist() == [0, 1, 2]
    assert found["b"][:2] == [None, "x"]
    assert found["b"][2]["c"].shape == ()
    assert unfinished.read(tmp_path, "u.parquet", "other") is None
    assert unfinished.read(tmp_path, "v.parquet", "key") is None
    (path,) = (tmp_path / unfinished.FOLDER).iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    assert unfinished.read(tmp_path, "u.parquet", "key") is None


def test_a_budget_that_is_over_before_anything_begins(tmp_path):
    model = SmallNet()
    run = evaluate(loaded(model, 5), suite(), labeled(model, 20), Options(tmp_path, budget=1e-6))
    assert run.summary["clean"]["accuracy"] is None
    assert any(finding["check"] == "budget" for finding in run.summary["findings"])
    assert not list((run.folder / "facts").iterdir())
