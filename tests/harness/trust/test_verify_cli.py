"""``harness verify`` as a user meets it."""

import json
import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from verifying import verified

from harness.cli import main
from harness.trust import ledger
from harness.trust.verify.verdict import Verdict
from harness.types import Finding


def test_a_run_verifies_is_replayed_and_recorded(work, capsys):
    (run,) = work.glob("results/[!.]*")
    assert verified(str(run)) == 0
    told = capsys.readouterr()
    assert f"{run}: breaks verified" in told.out
    assert "worst case" in told.out
    assert "claims, which no witness proves; --replay 100" in told.out
    assert "ledger.jsonl" in told.err
    assert ledger.verified(run).verdict == "breaks verified"

    assert verified("results", "--replay", "5", "--seed", "3", "--by", "me", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    schema = json.loads(files("harness").joinpath("schemas/envelope.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(printed)
    assert (printed["command"], printed["ok"]) == ("verify", True)
    (verdict,) = printed["data"]
    assert verdict["replay"]["seed"] == 3
    assert verdict["verdict"] == f"replayed {verdict['replay']['drawn']}"
    line = ledger.verified(run)
    assert (line.verdict, line.by, line.replayed) == (verdict["verdict"], "me", verdict["replay"]["drawn"])
    assert line.at_most == verdict["replay"]["at_most"]


def test_a_forged_run_exits_1_and_is_named(work, capsys):
    (run,) = work.glob("results/[!.]*")
    summary = json.loads((run / "summary.json").read_text())
    summary["clean"]["accuracy"] = 0.99
    (run / "summary.json").write_text(json.dumps(summary))
    assert verified(str(run)) == 1
    out = capsys.readouterr().out
    assert f"{run}: no" in out
    assert "summary: summary.json has clean.accuracy = 0.99" in out
    assert verified(str(run), "--json") == 1
    printed = json.loads(capsys.readouterr().out)
    assert not printed["ok"]
    assert printed["findings"][0]["check"] == "summary"
    assert ledger.verified(run).verdict == "no"


def test_another_checkpoint_of_the_run_s_name_exits_1(work, capsys):
    (run,) = work.glob("results/[!.]*")
    assert verified("results", model="mine:tiny=mine.py:other") == 1
    assert "model: the run names checkpoint" in capsys.readouterr().out
    assert ledger.verified(run).verdict == "no"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "mine.py:other"], "model 'mine:tiny', hash sha256:"),
        (["--model", "mine:other=mine.py:other"], "mine.py:tiny')"),
        (["--model", "mine.py:tiny", "--data", "few.npz"], "is not that of few.npz"),
    ],
)
def test_a_run_of_another_subject_is_skipped_and_not_refuted(work, capsys, words, said):
    (run,) = work.glob("results/[!.]*")
    np.savez("few.npz", images=np.zeros((300, 32, 32, 3), np.uint8), labels=np.arange(300) % 43)
    info = json.loads((run / "run.json").read_text())
    info["data"]["name"] = "few-of-mine"  # no installed name vouches for it
    if "--data" in words:
        (run / "run.json").write_text(json.dumps(info))
    assert main(["verify", "results", *words]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err
    assert ledger.verified(run) is None


def test_each_run_is_judged_by_the_model_that_has_its_hash(work, capsys):
    (tiny,) = work.glob("results/[!.]*")
    words = ["--suite", "fgsm", "--n", "256", "--device", "cpu", "--force", "--results", "results"]
    assert main(["eval", "--model", "mine.py:other", *words]) == 0
    (other,) = {*work.glob("results/[!.]*")} - {tiny}
    capsys.readouterr()

    assert verified("results", "--json") == 2
    printed = json.loads(capsys.readouterr().out)
    assert [verdict["run"] for verdict in printed["data"]] == [tiny.name]
    assert [finding["check"] for finding in printed["findings"]] == ["skipped"]
    assert ledger.verified(other) is None

    assert verified("results", "--model", "mine.py:other") == 0
    assert {ledger.verified(run).verdict for run in (tiny, other)} == {"breaks verified"}
    assert verified("results", "--model", "mine:other=mine.py:other", model="mine:tiny=mine.py:tiny") == 0
    # Weights that were exchanged behind a name are a contradiction, of this run alone.
    assert verified("results", "--model", "mine:other=mine.py:tiny", model="mine:tiny=mine.py:tiny") == 1
    assert [ledger.verified(run).verdict for run in (tiny, other)] == ["breaks verified", "no"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "is no run folder"),
        (["results", "--replay", "0"], "--replay 0"),
        (["results", "--replay", "2", "--seed", "-1"], "--seed -1 must be at least 0"),
        (["results", "--device", "gpu"], "unknown device"),
        (["results", "--data", "sings"], "did you mean 'signs'"),
        (["results", "--ledger", "mine.py/ledger"], "cannot be written"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(work, capsys, words, message):
    assert verified(*words) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("harness: ")]
    assert len(lines) == 1
    assert message in lines[0]


def test_what_is_not_judged_is_named(work, capsys):
    Path("results/x.run.json").write_text("{}")
    Path("results/notes.txt").write_text("all verified")
    Path("results/deeper/run").mkdir(parents=True)
    assert verified("results") == 0
    told = capsys.readouterr().err.splitlines()
    assert [line for line in told if line.startswith("not judged")] == [
        "not judged: results/deeper (no run)",
        "not judged: results/notes.txt (no run)",
        "not judged: results/x.run.json (a published file proves nothing; verify the run it was made from)",
    ]
    Path("only").mkdir()
    Path("results/x.run.json").rename("only/x.run.json")
    for given in ("only", "only/x.run.json"):
        assert verified(given) == 2
        assert "name the run that a published file was made from" in capsys.readouterr().err


def test_a_run_that_cannot_be_read_does_not_take_the_others_along(work, capsys):
    (run,) = work.glob("results/[!.]*")
    old = shutil.copytree(run, run.with_name("a-old"))
    info = json.loads((run / "run.json").read_text())
    (old / "run.json").write_text(json.dumps(info | {"schema": 2}))
    assert verified("results") == 2
    told = capsys.readouterr()
    assert f"{run}: breaks verified".removeprefix(f"{work}/") in told.out
    (line,) = [line for line in told.err.splitlines() if line.startswith("harness: ")]
    assert line.startswith("harness: results/a-old: ")
    assert "has schema 2" in line
    assert ledger.verified(run).verdict == "breaks verified"

    assert verified("results", "--json") == 2
    printed = json.loads(capsys.readouterr().out)
    assert not printed["ok"]
    assert [verdict["verdict"] for verdict in printed["data"]] == ["breaks verified"]
    assert [finding["check"] for finding in printed["findings"]] == ["unreadable"]
    (run / "summary.json").write_text("{}")
    assert verified("results") == 1
    assert verified("results/a-old") == 2


def test_a_pipe_in_a_run_is_named_and_the_others_are_verified(work, capsys):
    (run,) = work.glob("results/[!.]*")
    bad = shutil.copytree(run, run.with_name("a-pipe"))
    (bad / "summary.json").unlink()
    os.mkfifo(bad / "summary.json")
    assert verified("results") == 2
    told = capsys.readouterr()
    assert f"{run}: breaks verified".removeprefix(f"{work}/") in told.out
    assert "a-pipe/summary.json is no file but a pipe, socket or device; remove it" in told.err


CASCADE = """
name = "cascade"
version = 1
norm = "linf"
epsilons = ["1e-6", "1/255", "8/255"]
chunk = 128

[[attack]]
id = "parts"
tool = "autoattack"
method = "custom"
params.components = ["apgd-ce", "square"]
params.apgd_restarts = 1
params.apgd_targets = 2
params.fab_restarts = 1
params.fab_targets = 2
params.steps = 5
params.eot = 1
params.individual = false
params.larger_radii = false
params.queries = 20
params.restarts = 1
"""


def test_a_lost_file_is_one_line(work, capsys):
    (work / "cascade.toml").write_text(CASCADE)
    words = ["--suite", "cascade.toml", "--n", "256", "--device", "cpu", "--force", "--results", "own"]
    assert main(["eval", "--model", "mine.py:tiny", *words]) == 0
    (run,) = work.glob("own/[!.]*")
    lost = {
        "facts/clean@0-00001": "facts: the clean pass has facts of 128 samples, run.json names 256",
        "facts/parts@1_255-00001": "facts: parts at 1/255 and 2 more places: facts are missing (samples ",
        "witnesses/parts@1_255-00000": "backing: parts at 1/255: broken, but no witness is stored at this",
    }
    for name, line in lost.items():
        left = shutil.copytree(run, work / "left")
        (left / f"{name}.parquet").unlink()
        capsys.readouterr()
        assert verified(str(left)) == 1
        told = [text for text in capsys.readouterr().out.splitlines() if text.startswith(("  facts:", "  backing:"))]
        assert len(told) == 1, told
        assert told[0].startswith(f"  {line}")
        shutil.rmtree(left)


def test_many_contradictions_of_one_kind_are_counted(work, capsys, monkeypatch):
    from harness.cli import verify as command

    (run,) = work.glob("results/[!.]*")
    found = [Finding("ball", "error", f"number {i}") for i in range(33)] + [Finding("box", "error", "one")]
    subject = Verdict(folder=run, run="run", key="key", problems=tuple(found))
    monkeypatch.setattr("harness.trust.verify.verify.verify", lambda *_: subject)
    assert verified(str(run)) == 1
    out = capsys.readouterr().out
    assert [f"number {i}\n" in out for i in range(33)] == [i < command.TOLD for i in range(33)]
    assert f"  ball: and {33 - command.TOLD} more (--json tells all)" in out
    assert "  box: one" in out
    assert verified(str(run), "--json") == 1
    assert len(json.loads(capsys.readouterr().out)["findings"]) == 34


@pytest.mark.parametrize(("forged", "words"), [(True, []), (False, ["--json"])])
def test_who_hangs_up_gets_the_same_exit_code(work, forged, words):
    (run,) = work.glob("results/[!.]*")
    bad = shutil.copytree(run, work / "results" / f"bad-{run.name}")
    (bad / "summary.json").write_text("{}")
    folders = [bad, run] if forged else [run]
    code = "import sys; from harness.cli import main; sys.exit(main(sys.argv[1:]))"
    call = [sys.executable, "-c", code, "verify", "--model", "mine.py:tiny", "--device", "cpu", *words, *folders]
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        told = process.stderr.read()
    assert process.returncode == (1 if forged else 0), told
    assert "BrokenPipe" not in told
    assert ledger.verified(run).verdict == "breaks verified"
    assert not forged or ledger.verified(bad).verdict == "no"


def test_a_replay_says_how_far_it_is(work, capsys, monkeypatch):
    (run,) = work.glob("results/[!.]*")
    assert verified(str(run), "--replay", "4") == 0
    assert capsys.readouterr().err.count("survivors attacked again") == 0  # within a minute
    monkeypatch.setattr("harness.cli.output.EVERY", 0.0)
    assert verified(str(run), "--replay", "4") == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "attacked again" in line]
    drawn = ledger.verified(run).replayed
    assert lines[0].startswith(f"verifying {run}: 0 of {drawn} survivors attacked again, now fgsm at ")


def test_the_command_is_listed_without_torch():
    code = "import sys, harness.cli.verify; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
