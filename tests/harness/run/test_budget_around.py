"""A budget counts from where the command began, and has room for what comes before and after the attacks."""

import json
import re
import subprocess
import sys
import time

import pytest
import torch
from msgspec import UNSET
from toys import Patient, SmallNet, labeled, loaded, scripted

from harness.base.deadline import Deadline
from harness.base.threat import parse_grid
from harness.cli import main
from harness.evidence.store import RunStore
from harness.inputs.suite import Suite
from harness.measure.executors import local
from harness.measure.fast_copy.ladder import Time
from harness.run.job import Options, evaluate
from harness.types import AttackSpec

LONG = 1e6
"""A budget that is never over by the clock."""


def start(folder, model=None, **options):
    fgsm = AttackSpec("fgsm", "torchattacks", "fgsm", {})
    grid = parse_grid(["8/255"])
    chosen = Suite(name="toy", version=1, norm="linf", grid=grid, mode="observed", chunk=20, attacks=(fgsm,))
    options.setdefault("precision", "exact")
    return evaluate(
        loaded(model or SmallNet(), 5), chosen, labeled(SmallNet(), 20, wrong=2), Options(folder, **options)
    )


def said(run, check="budget", level="warn"):
    (line,) = [f["message"] for f in run.summary["findings"] if (f["check"], f["level"]) == (check, level)]
    return line


def evidence(run):
    store = RunStore(run.folder)
    paths = [path for part in ("facts", "witnesses") for path in sorted((store.folder / part).iterdir())]
    return {path.name: path.read_bytes() for path in paths}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system does not tell")
def test_the_beginning_is_that_of_the_process():
    code = "import time; time.sleep(0.3); from harness.base.deadline import process_began; print(process_began())"
    before = time.monotonic()  # the clock of the whole machine
    told = float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert before - 0.05 <= told <= time.monotonic() - 0.3


def test_a_deadline_counts_from_its_beginning():
    begun = time.monotonic() - 5
    assert 4.9 < Deadline(10, begun).left <= 5
    assert Deadline(4, begun).over
    deadline = Deadline(10, begun)
    assert 1.2 < deadline.share(0.25).left <= 1.25
    deadline.reserve(6)
    assert deadline.over
    never = Deadline(None, begun)
    never.reserve(10)
    assert not never.over
    assert never.share(0.5).left is None


def test_the_command_says_when_it_began(tmp_path, monkeypatch):
    seen = []

    def caught(model, suite, data, options, report):
        seen.append((options.budget, options.begun))
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.run.adaptive.evaluate", caught)
    main(["eval", "--model", "trades", "--suite", "fgsm", "--budget", "90s", "--results", str(tmp_path)], 12.5)
    assert seen == [(90, 12.5)]


def test_attacks_leave_time_for_the_end(tmp_path, monkeypatch):
    seen = []

    def run(worker, lanes, stop, scale):
        seen.append((time.monotonic(), worker.setting.deadline.left))
        return iter(())

    monkeypatch.setattr(local, "run", run)
    loading = 20.0  # seconds that went by before the job was called
    begun = time.monotonic() - loading
    start(tmp_path, Patient(), budget=100, begun=begun, batch_size=20)
    ((now, left),) = seen
    looks = 3 * 0.03  # at the clean images, at a few once more, at their gradients: again at the end
    assert left < 100 - (now - begun) - looks - 0.1 * loading
    assert left > 100 - (now - begun) - 20 * looks - 0.1 * loading - 1


def test_a_budget_for_loading_alone_is_said_in_one_line(tmp_path):
    run = start(tmp_path, budget=30, begun=time.monotonic() - 30)
    line = said(run)
    assert line.startswith("the budget is too small for anything but loading and the clean pass: 3")
    assert "missing: fgsm at 8/255. The same command goes on from here" in line
    assert run.info.status == "interrupted"


@pytest.mark.torchattacks
def test_a_plan_in_haste_is_kept_where_something_was_computed_by_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    hasty = start(tmp_path / "a", precision="auto", budget=1e-3)
    assert hasty.info.calibration.cut is True
    assert "no time to try all that might be faster: the model itself is attacked" in said(hasty, "copy", "info")
    assert not list((hasty.folder / "facts").iterdir())
    after = start(tmp_path / "a", precision="auto")  # nothing hangs on that plan
    assert after.info.calibration.cut is UNSET
    assert not [finding for finding in after.info.findings if finding.check == "copy"]

    looks = iter([False, False] + [True] * 100)
    monkeypatch.setattr(Time, "over", property(lambda self: setattr(self, "cut", next(looks)) or self.cut))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "other"))
    torch.manual_seed(0)
    cut = start(tmp_path / "b", precision="auto", budget=LONG)
    assert cut.complete
    assert cut.info.calibration.cut is True
    monkeypatch.undo()
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "other"))
    undisturbed = start(tmp_path / "c", precision="auto")
    assert undisturbed.info.plan == cut.info.plan
    assert evidence(undisturbed) == evidence(cut)
    anew = start(tmp_path / "c", precision="auto", fresh=True)
    assert anew.info.calibration.cut is UNSET


def cut_off(monkeypatch, asks, **flags):
    """An attack of which the time is over at its third query, 50 ms each."""

    def play(observer, problem):
        for query in range(10):
            if query == 3:
                observer.deadline.set(0)
            observer(problem.images)
            time.sleep(0.05)
        return problem.images

    attack = scripted(play, queries=lambda self, component: asks, freezable=False, **flags)
    monkeypatch.setattr(Suite, "resolve", lambda self: (attack,))


def test_what_never_fits_is_told_the_budget_that_would_do(tmp_path, monkeypatch):
    cut_off(monkeypatch, 10)
    line = said(start(tmp_path, budget=LONG, begun=time.monotonic() - 60))
    told = re.search(r"with a budget of (\d+)s or more: a call of fgsm takes about (\d+)s, of which nothing", line)
    budget, takes = map(int, told.groups())
    assert 60 + 1.25 * takes - 1 + 6 <= budget < 60 + 1.25 * takes + 6 + 40  # 6: a tenth of what loading took
    cut_off(monkeypatch, 100_000, components=("one", "two"))
    line = said(start(tmp_path / "more", budget=LONG, begun=time.monotonic() - 60))
    minutes = int(line.partition("a budget of ")[2].partition("m or more: one takes about ")[0])
    assert 25 <= minutes <= 240  # 60 s, and 1.25 times 100,000 of what three took, 150 ms at least


def test_what_never_fits_and_cannot_be_foreseen_is_said_to_need_more(tmp_path, monkeypatch):
    cut_off(monkeypatch, None)
    line = said(start(tmp_path, budget=LONG))
    assert line.endswith("with more time: a call of fgsm was not done after 0 s, of which nothing can be kept")


@pytest.mark.torchattacks
def test_witnesses_of_others_wait_for_another_start_when_the_time_is_over(tmp_path):
    other = start(tmp_path / "other")
    model = SmallNet(seed=9)
    asked = {"transfer": (tmp_path / "other",), "force": True}
    whole = start(tmp_path / "mine", model, **asked)
    assert any(finding["check"] == "P26" for finding in whole.summary["findings"])
    late = start(tmp_path / "mine", model, budget=1e-3, **asked)
    assert late.complete  # what is on disk counts, however little time there is
    assert f"before the witnesses of {other.folder} were offered; the same command offers them" in said(late)


@pytest.mark.slow
@pytest.mark.torchattacks
def test_a_command_ends_within_its_budget(tmp_path):
    """The whole command, from the outside; what it takes without any attack is what the machine takes now."""
    words = [
        "--model",
        "trades",
        "--suite",
        "pgd",
        "--n",
        "600",
        "--batch-size",
        "32",
        "--precision",
        "exact",
        "--json",
    ]
    call = [sys.executable, "-m", "harness", "eval", *words, "--results", str(tmp_path)]
    begun = time.monotonic()
    subprocess.run([*call, "--budget", "1s"], capture_output=True, check=False)
    budget = 2 * (time.monotonic() - begun) + 5
    begun = time.monotonic()
    done = subprocess.run([*call, "--budget", f"{budget:.1f}s"], capture_output=True, text=True, check=False)
    took = time.monotonic() - begun
    summary = json.loads(done.stdout)
    assert done.returncode == (0 if summary["status"] == "complete" else 3)
    assert took < 1.1 * budget + 2  # a batch of 32 takes less
