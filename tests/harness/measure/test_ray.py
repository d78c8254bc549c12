"""The Ray executor: the local one's facts, whoever computes them and whoever dies meanwhile; one cluster for all."""

import dataclasses
import json
import os
import signal
import threading
import time

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from clusters import NICENESS, TWO
from toys import Patient, SmallNet, StopAfter, labeled, loaded

from harness.base.deadline import Deadline
from harness.base.threat import parse_grid
from harness.errors import BadRun, MissingPackage, UsageError
from harness.evidence.store import RunStore
from harness.inputs.suite import Suite
from harness.measure.executors import local, ray
from harness.measure.executors.cluster import imported
from harness.run.job import Options, evaluate
from harness.run.progress import Silent
from harness.types import AttackSpec, Scale

BY = [("attack", "ascending"), ("epsilon", "ascending"), ("sample_id", "ascending")]
PGD = AttackSpec("pgd", "torchattacks", "pgd", {"steps": 5, "step_size": "epsilon/4", "random_start": True})


def suite(*attacks, chunk=12):
    attacks = attacks or (AttackSpec("fgsm", "torchattacks", "fgsm", {}), PGD)
    return Suite(
        name="toy",
        version=1,
        norm="linf",
        grid=parse_grid(["2/255", "8/255"], "linf"),
        mode="observed",
        chunk=chunk,
        attacks=tuple(attacks),
    )


@pytest.fixture(scope="module")
def case():
    model = SmallNet()
    return loaded(model, 5), labeled(model, 48, wrong=3)


def options(folder, executor="ray", **changes):
    scale = TWO if executor == "ray" else Scale()
    return Options(folder, device="cpu", batch_size=12, precision="exact", executor=executor, scale=scale, **changes)


def both(run):
    witnesses = sorted((row for table in RunStore(run.folder).all_witnesses() for row in table.to_pylist()), key=str)
    return run.facts.sort_by(BY), witnesses


@pytest.fixture(scope="module")
def whole(case, tmp_path_factory):
    return both(evaluate(case[0], suite(), case[1], options(tmp_path_factory.mktemp("local"), "local")))


@pytest.mark.slow
@pytest.mark.torchattacks
def test_facts_and_witnesses_are_the_local_executors(cluster, case, whole, tmp_path):
    seen = []

    class Watch(Silent):
        def finished(self, done):
            seen.append(done)

    run = evaluate(case[0], suite(), case[1], options(tmp_path), Watch())
    facts, witnesses = both(run)
    assert run.complete
    assert facts.equals(whole[0])
    assert witnesses == whole[1]
    assert len(seen) == 4 * (1 + 2 * 2), "every unit is reported once"
    assert not list(run.folder.glob(".running-*"))
    again = evaluate(case[0], suite(), case[1], options(tmp_path, "local"))
    assert again.folder == run.folder, "the executor is no part of the key"


@pytest.mark.slow
@pytest.mark.torchattacks
def test_a_killed_workers_unit_runs_again_and_nothing_else(cluster, case, whole, tmp_path):
    killed = []

    def killer():
        end = time.monotonic() + 60
        while not killed and time.monotonic() < end:
            for note in tmp_path.glob("*/.running-*.json"):
                try:
                    about = json.loads(note.read_text())
                except (OSError, ValueError):
                    continue
                before = {path.name: path.stat().st_ino for path in tmp_path.glob("*/facts/*.parquet")}
                os.kill(about["pid"], signal.SIGKILL)
                killed.append((about["unit"], before))
                break
            time.sleep(0.002)

    thread = threading.Thread(target=killer)
    thread.start()
    run = evaluate(case[0], suite(), case[1], options(tmp_path))
    thread.join()
    facts, witnesses = both(run)
    assert run.complete
    assert facts.equals(whole[0])
    assert witnesses == whole[1]
    ((unit, before),) = killed
    after = {path.name: path.stat().st_ino for path in (run.folder / "facts").iterdir()}
    assert before.items() <= after.items(), "what was finished stays"
    assert any(f.check == "died" and unit in f.message for f in run.info.findings)


@pytest.mark.slow
@pytest.mark.torchattacks
def test_stopping_finishes_what_runs_and_any_executor_goes_on(cluster, case, whole, tmp_path):
    class Stop(Silent):
        count = 0

        def finished(self, done):
            self.count += 1

        def stop(self):
            return self.count >= 5

    first = evaluate(case[0], suite(), case[1], options(tmp_path), Stop())
    assert first.info.status == "interrupted"
    assert not list(first.folder.glob(".running-*"))
    run = evaluate(case[0], suite(), case[1], options(tmp_path, "local"))
    assert both(run)[0].equals(whole[0])


@pytest.mark.slow
@pytest.mark.torchattacks
def test_a_budget_ends_within_a_unit_elsewhere_and_the_next_start_finds_the_same_facts(
    cluster, case, whole, tmp_path, monkeypatch
):
    handed, left = [], Deadline.left.fget

    def soon(deadline):
        """Of the driver: asked with every unit that is handed out; those from the tenth on are not finished in time."""
        if deadline.known:
            if len(handed) == 9:
                deadline.set(0.05)
            handed.append(left(deadline))
        return left(deadline)

    late = loaded(Patient(), 5)
    monkeypatch.setattr(Deadline, "share", lambda deadline, part: Deadline())
    monkeypatch.setattr(Deadline, "left", property(soon))
    begun = evaluate(late, suite(PGD), case[1], dataclasses.replace(options(tmp_path), budget=1e6))
    monkeypatch.undo()
    assert begun.info.status == "interrupted"
    assert len(handed) >= 10
    assert min(handed) > 0  # none is handed out once the time is over
    lost = begun.summary.get("thrown_away", [])  # nothing where the time was over before the first query
    assert all(one["attack"] == "pgd" for one in lost)
    assert sum(one["seconds"] for one in lost) < begun.info.seconds
    said = {finding.level: finding.message for finding in begun.info.findings if finding.check == "budget"}
    assert not lost or "are thrown away, as the time was over within" in said["info"]
    assert "missing: pgd at " in said["warn"]
    run = evaluate(late, suite(PGD), case[1], options(tmp_path, "local"))
    assert run.complete
    alone = whole[0].filter(pc.is_in(whole[0]["attack"], pa.array(["clean", "pgd"])))
    assert both(run)[0].equals(alone)


@pytest.mark.slow
def test_where_the_time_is_over_no_cluster_is_started_and_what_is_on_disk_counts(case, whole, tmp_path, monkeypatch):
    run = evaluate(case[0], suite(), case[1], options(tmp_path, "local"))
    monkeypatch.setattr(ray, "cluster", None)
    late = evaluate(case[0], suite(), case[1], dataclasses.replace(options(tmp_path), budget=1e-6))
    assert late.complete
    assert late.summary["cells"] == run.summary["cells"]


@pytest.mark.slow
@pytest.mark.torchattacks
def test_a_unit_that_kills_every_worker_is_given_up_and_the_others_finish(cluster, case, tmp_path, monkeypatch):
    """As one does that needs more memory than there is."""
    monkeypatch.setattr(ray, "ATTEMPTS", 2)
    deadly = loaded(Deadly(case[0].module, tmp_path), 5)
    with pytest.raises(
        BadRun, match=r"1 unit\(s\) took down 2 workers each, pgd@2_255-00000 first.*other units are on disk"
    ):
        evaluate(
            deadly, suite(PGD, AttackSpec("fgsm", "torchattacks", "fgsm", {}), chunk=24), case[1], options(tmp_path)
        )
    done = {path.name for path in tmp_path.glob("*/facts/*.parquet")}
    assert {"fgsm@8_255-00000.parquet", "fgsm@8_255-00001.parquet", "pgd@8_255-00001.parquet"} <= done
    assert not any(name.startswith("pgd@") and "-00000" in name for name in done)


class Deadly(SmallNet):
    """Kills its process where it is differentiated in one certain unit, which its note names."""

    def __init__(self, inner, results):
        super().__init__()
        self.load_state_dict(inner.state_dict())
        self.results = results

    def forward(self, images):
        if images.requires_grad:
            for note in self.results.glob(f"*/.running-*-{os.getpid()}.json"):
                if json.loads(note.read_text())["unit"] == "pgd@2_255-00000":
                    os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(images)


@pytest.mark.slow
@pytest.mark.torchattacks
def test_stopping_amid_units_that_are_on_disk_is_no_failure(cluster, case, whole, tmp_path):
    evaluate(case[0], suite(), case[1], options(tmp_path, "local"), StopAfter(6))
    alone = options(tmp_path)
    alone = dataclasses.replace(alone, scale=Scale(workers=1))
    assert evaluate(case[0], suite(), case[1], alone, StopAfter(2)).info.status == "interrupted"
    assert both(evaluate(case[0], suite(), case[1], options(tmp_path, "local"))) == whole


@pytest.mark.slow
@pytest.mark.torchattacks
def test_workers_that_always_die_while_they_load_are_not_started_for_ever(cluster, case, tmp_path, monkeypatch):
    monkeypatch.setattr(ray, "ATTEMPTS", 2)
    fatal = loaded(Fatal(case[0].module), 5)
    with pytest.raises(BadRun, match="every worker died 2 times while it loaded the model"):
        evaluate(fatal, suite(), case[1], options(tmp_path))
    (run,) = tmp_path.glob("*/run.json")
    deaths = [finding for finding in json.loads(run.read_text())["findings"] if finding["check"] == "died"]
    assert deaths
    assert all("before its first unit" in finding["message"] for finding in deaths)


class Fatal(SmallNet):
    """Kills every process that unpacks it."""

    def __init__(self, inner):
        super().__init__()
        self.load_state_dict(inner.state_dict())
        self.home = os.getpid()

    def __setstate__(self, state):
        if os.getpid() != state["home"]:
            os.kill(os.getpid(), signal.SIGKILL)
        super().__setstate__(state)


@pytest.mark.slow
def test_workers_are_as_important_as_their_driver(cluster):
    """Ray's own default is 15 more: beside busy processes they would get next to nothing."""
    assert cluster.get(cluster.remote(lambda: os.nice(0)).remote()) == os.nice(0)


def test_a_niceness_that_the_user_chose_stays(monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv(NICENESS, "7")
    imported()
    assert os.environ[NICENESS] == "7"


def test_what_cannot_be_had_is_said_in_one_line(case, tmp_path):
    data = case[1]
    for scale, words in (
        (Scale(workers=0), "--workers 0 must be at least 1"),
        (Scale(gpus_per_worker=-1), "--gpus-per-worker -1 is no number"),
    ):
        with pytest.raises(UsageError, match=words):
            ray.run(None, [], lambda: False, scale)
    with pytest.raises(UsageError, match="add --executor ray"):
        local.run(None, [], lambda: False, Scale(workers=2))
    with pytest.raises(UsageError, match="unknown executor 'rya'"):
        evaluate(case[0], suite(), data, Options(tmp_path, executor="rya"))


def test_without_ray_one_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingPackage, match=r"pip install 'robustness-harness\[ray\]'"):
        ray.run(None, [], lambda: False, Scale())


@pytest.mark.slow
@pytest.mark.torchattacks
def test_an_attack_on_a_prefix_after_others_has_the_local_executors_facts(cluster, case, tmp_path):
    """Its lanes wait for those of the attacks before it, whoever computes them."""
    fgsm, pgd = suite().attacks
    chosen = suite(fgsm, pgd, dataclasses.replace(pgd, id="more", n=36, chunk=6, after="all"))
    here, there = (
        both(evaluate(case[0], chosen, case[1], options(tmp_path / name, name))) for name in ("local", "ray")
    )
    assert here[0].equals(there[0])
    assert here[1] == there[1]
    assert len(here[0].filter(pc.equal(here[0]["attack"], "more"))) == 36 * 2
