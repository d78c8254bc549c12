"""What happens to long runs: torn files, full disks, dead processes; the same facts in the end, and one line meanwhile.

`benchmarks/faults.py` does the same with real kills; a short form of it runs here, too.
"""

import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from repository import ROOT
from toys import SmallNet, labeled, loaded

from harness.base.deadline import Halted
from harness.base.threat import parse_grid
from harness.errors import BadRun
from harness.evidence import facts, parquet, witnesses
from harness.evidence.lock import running, take_left
from harness.evidence.store import PARTS, RunStore, Unit
from harness.inputs.suite import Suite
from harness.run.job import Options, evaluate
from harness.run.progress import Silent
from harness.types import AttackSpec

BY = [("attack", "ascending"), ("epsilon", "ascending"), ("sample_id", "ascending")]
PGD = AttackSpec("pgd", "torchattacks", "pgd", {"steps": 5, "step_size": "epsilon/4", "random_start": True})
SUITE = Suite(
    name="toy",
    version=1,
    norm="linf",
    grid=parse_grid(["2/255", "8/255"], "linf"),
    mode="observed",
    chunk=12,
    attacks=(PGD,),
)


@pytest.fixture(scope="module")
def case():
    model = SmallNet()
    return loaded(model, 5), labeled(model, 24, wrong=2)


def options(folder, **changes):
    return Options(folder, device="cpu", batch_size=12, precision="exact", **changes)


@pytest.fixture(scope="module")
def whole(case, tmp_path_factory):
    return contents(evaluate(case[0], SUITE, case[1], options(tmp_path_factory.mktemp("whole"))))


@pytest.fixture
def run(case, tmp_path):
    """A finished run, for something to happen to."""
    return evaluate(case[0], SUITE, case[1], options(tmp_path))


def contents(run):
    found = sorted((row for table in RunStore(run.folder).all_witnesses() for row in table.to_pylist()), key=str)
    return RunStore(run.folder).all_facts().sort_by(BY).to_pylist(), found


def checks(run):
    return [(finding.check, finding.message) for finding in run.info.findings]


@pytest.mark.torchattacks
def test_a_torn_run_json_costs_times_but_not_the_plan(case, whole, run):
    (run.folder / "run.json").write_text('{"schema": 1, "ke')
    sorted((run.folder / "facts").glob("pgd*"))[0].unlink()
    again = evaluate(case[0], SUITE, case[1], options(run.folder.parent))
    assert contents(again) == whole
    assert again.info.plan == run.info.plan
    assert [check for check, _ in checks(again) if check == "torn"] == ["torn"]
    (run.folder / "run.json").write_text("")
    (run.folder / "plan.json").write_text("")
    with pytest.raises(BadRun, match="both torn"):
        evaluate(case[0], SUITE, case[1], options(run.folder.parent))
    fresh = evaluate(case[0], SUITE, case[1], options(run.folder.parent, fresh=True))
    assert contents(fresh) == whole


@pytest.mark.torchattacks
@pytest.mark.parametrize("part", ["facts", "witnesses"])
@pytest.mark.parametrize("damage", ["cut", "zeroed", "gone"])
def test_a_damaged_shard_is_computed_again(case, whole, run, part, damage):
    path = sorted((run.folder / part).glob("pgd*"))[0]
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:200] + bytes(len(content) - 200 if damage == "zeroed" else 0))
    again = evaluate(case[0], SUITE, case[1], options(run.folder.parent))
    assert contents(again) == whole


@pytest.mark.torchattacks
def test_facts_of_other_samples_are_not_taken_for_this_unit(case, whole, run):
    """As after a wrong copy between runs."""
    first, second = sorted((run.folder / "facts").glob("pgd@2_255*"))
    shutil.copy(second, first)
    again = evaluate(case[0], SUITE, case[1], options(run.folder.parent))
    assert contents(again) == whole
    assert any("holds other samples" in message for check, message in checks(again) if check == "torn")


def test_a_flipped_bit_is_refused_or_harmless(tmp_path):
    """Every page has a checksum, and the footer is judged before it is used."""
    columns = {"sample_id": [3, 4], "label": [1, 1], "attack": "a", "epsilon": 0.1, "epsilon_label": "0.1",
               "outcome": ["survived", "clean_wrong"], "forwards": [2, 3], "backwards": [1, 0]}  # fmt: skip
    path, table = tmp_path / "f.parquet", facts.table(2, columns)
    facts.write(path, table)
    content, refused = path.read_bytes(), 0
    for at in range(0, len(content), 5):
        flipped = bytearray(content)
        flipped[at] ^= 1 << (at % 8)
        path.write_bytes(flipped)
        try:
            assert facts.read(path).equals(table)
        except BadRun:
            refused += 1
    assert refused > 0.3 * len(content) / 5


@pytest.mark.torchattacks
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
@pytest.mark.parametrize("fails_after", [0, 3])
def test_a_disk_that_is_full_is_one_line_and_loses_nothing(case, whole, tmp_path, monkeypatch, number, fails_after):
    written = []

    def write(path, table, **rest):
        if len(written) >= fails_after:
            raise OSError(number, os.strerror(number))
        written.append(path)
        real(path, table, **rest)

    real = parquet.write
    monkeypatch.setattr(parquet, "write", write)
    with pytest.raises(BadRun, match=r"cannot be written: .*what was finished before is safe on disk"):
        evaluate(case[0], SUITE, case[1], options(tmp_path))
    monkeypatch.undo()
    before = {path: path.stat().st_ino for path in tmp_path.glob("toy*/facts/*.parquet")}
    again = evaluate(case[0], SUITE, case[1], options(tmp_path))
    assert contents(again) == whole
    assert all(path.stat().st_ino == inode for path, inode in before.items())
    assert not list(again.folder.rglob(".*.tmp"))


@pytest.mark.torchattacks
def test_a_folder_that_vanishes_is_noticed(case, whole, tmp_path):
    class Remove(Silent):
        count = 0

        def finished(self, done):
            self.count += 1
            if self.count == 4:
                shutil.rmtree(next(tmp_path.glob("toy*")))

    with pytest.raises(BadRun):
        evaluate(case[0], SUITE, case[1], options(tmp_path), Remove())
    assert contents(evaluate(case[0], SUITE, case[1], options(tmp_path))) == whole


@pytest.mark.torchattacks
def test_finished_units_that_vanish_leave_no_complete_run(case, whole, tmp_path):
    class Remove(Silent):
        def finished(self, done):
            if done.unit.chunk == 1:
                for path in tmp_path.glob("*/facts/clean*00000.parquet"):
                    path.unlink()

    with pytest.raises(BadRun, match="vanished"):
        evaluate(case[0], SUITE, case[1], options(tmp_path), Remove())
    (folder,) = tmp_path.glob("toy*")
    assert RunStore(folder).read_json("run.json")["status"] == "interrupted"
    assert contents(evaluate(case[0], SUITE, case[1], options(tmp_path))) == whole


def test_the_lock_names_its_owner_and_dies_with_it(tmp_path):
    store = RunStore.create(tmp_path, "r")
    with store.locked(), pytest.raises(BadRun, match=f"another process .pid {os.getpid()} on "), store.locked():
        pass
    read, write = os.pipe()
    with store.locked():
        child = os.fork()
        if child == 0:  # lives on after the lock's owner is done with it
            os.close(write)
            os.read(read, 1)
            os._exit(0)
    with store.locked():
        pass
    os.close(write)
    os.waitpid(child, 0)
    os.close(read)


def test_a_file_system_without_locks_is_no_other_process(tmp_path, monkeypatch):
    store = RunStore.create(tmp_path, "r")

    def none(_handle, _how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.raises(BadRun, match="No locks available"), store.locked():
        pass


def test_what_was_running_is_told_by_the_next_start(tmp_path):
    store = RunStore.create(tmp_path, "r")
    unit = Unit("pgd-20", "8/255", 3)
    with running(store.folder, "done", "now"):
        pass
    assert take_left(store.folder) == []
    for ending in (KeyboardInterrupt, Halted, OSError):  # given up, but nobody died
        with pytest.raises(ending), store.running(unit, "2026-01-01T00:00:00+00:00"):
            raise ending
        assert take_left(store.folder) == []
    dying = store.running(unit, "2026-01-01T00:00:00+00:00")
    dying.__enter__()  # and nothing after it is ever run
    (store.folder / ".running-torn-1.json").write_text("{")
    for part in PARTS:
        (store.folder / part / ".x.tmp").touch()
    with store.locked():
        words = sorted(finding.message for finding in store.events)
    assert words[1] == "something was running when the process of torn-1.json died"
    assert words[0].startswith(f"pgd-20@8_255-00003 was running when process {os.getpid()} on ")
    assert "started 2026-01-01" in words[0]
    assert "pgd-20@8_255-00003" in (store.folder / "log.txt").read_text()
    assert not list(store.folder.rglob(".*.tmp"))
    assert not list(store.folder.glob(".running*"))
    assert dying is not None  # a generator that is collected would clean up


@pytest.mark.torchattacks
@pytest.mark.parametrize("where", ["clean pass", "attack"])
@pytest.mark.parametrize("words", ["DefaultCPUAllocator: can't allocate memory", "could not create a primitive", None])
def test_too_little_memory_on_the_host_is_less_at_once(case, tmp_path, where, words):
    """The run finishes, and counts how often it went on with less."""
    inner = case[0].module

    class Hungry(torch.nn.Module):
        def forward(self, images):
            asked = images.requires_grad if where == "attack" else len(images) == 12 and not images.requires_grad
            if len(images) > 6 and asked and list(tmp_path.glob("*/run.json")):
                raise RuntimeError(words) if words else MemoryError
            return inner(images)

    run = evaluate(loaded(Hungry(), 5), SUITE, case[1], options(tmp_path))
    assert run.complete
    assert run.info.out_of_memory > 0


def test_a_log_that_cannot_be_written_loses_no_unit(tmp_path):
    store = RunStore.create(tmp_path, "r")
    (store.folder / "log.txt").mkdir()
    store.log("lost")
    store.write(Unit("a", "0", 0), facts.empty(), witnesses.empty())
    assert store.missing([Unit("a", "0", 0), Unit("a", "0", 1)]) == ["a@0-00001.parquet"]


@pytest.mark.slow
@pytest.mark.timeout(600)  # twenty seconds where the machine has nothing else to do
@pytest.mark.torchattacks
def test_a_short_fault_campaign_loses_nothing(tmp_path):
    """Real processes, really killed: at random, before steps of the store, and the other faults once each."""
    out = tmp_path / "faults.json"
    words = ["kills", "steps", "faults", "--kills", "2", "--stride", "97", "--trials", "1", "-o", out]
    subprocess.run([sys.executable, ROOT / "benchmarks" / "faults.py", *map(str, words)], check=True, timeout=580)
    report = json.loads(out.read_text())
    assert report["total"]["trials"] > 12
    assert (report["total"]["lost"], report["total"]["different"]) == (0, 0), report["rows"]
    assert report["total"]["unexpected"] == 0, report["rows"]
    again = {row["fault"]: row["again"] for row in report["rows"]}
    again.pop("results folder vanishes")
    assert max(again.values()) <= 1, "at most one unit is computed again"
