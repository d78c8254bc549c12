"""The command line as a user meets it: exit codes, one-line errors, JSON, and Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.cli import main
from harness.errors import PluginError
from harness.inputs.registry import Registry

LONG = "a" * 300
MODEL = '''
import torch
from torch import nn

def tiny():
    """The nearest class mean, which is linear and well above guessing: the doctor lets it pass."""
    from harness.inputs.find import find_data

    data = find_data("signs")
    images, labels = data.take(range(len(data)))
    means = torch.stack([images[labels == label].mean(0).flatten() for label in range(43)])
    linear = nn.Linear(3 * 32 * 32, 43)
    with torch.no_grad():
        linear.weight.copy_(means)
        linear.bias.copy_(-means.square().sum(1) / 2)
    model = nn.Sequential(nn.Flatten(), linear)
    model.num_classes = 43
    return model

def ten():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))
    model.num_classes = 10
    return model

def nothing():
    return 7

def broken():
    raise RuntimeError("no weights\\nhere")
'''


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MODEL)
    return tmp_path


def evaluated(*words, model="mine.py:tiny"):
    return main(["eval", "--model", model, "--suite", "fgsm", "--n", "64", "--device", "cpu", *words])


def test_a_name_stands_in_the_results_and_changes_nothing_else(work, capsys):
    assert evaluated("--json") == 0
    plain = json.loads(capsys.readouterr().out)
    assert evaluated("--json", "--name", " our model 7 ") == 0
    named = json.loads(capsys.readouterr().out)
    assert (plain["model"], named["model"]) == ("mine:tiny", "our model 7")
    assert plain["run"].startswith("results/mine-tiny-fgsm-")
    assert named["run"].startswith("results/our-model-7-fgsm-")
    assert [cell["broken"] for cell in plain["cells"]] == [cell["broken"] for cell in named["cells"]]
    assert evaluated("--json") == 0
    assert json.loads(capsys.readouterr().out)["run"] == plain["run"]
    assert main(["leaderboard", "results", "--format", "csv", "--attack", "worst"]) == 0
    assert {line.split(",")[10] for line in capsys.readouterr().out.splitlines()[1:]} == {"mine:tiny", "our model 7"}


@pytest.mark.parametrize(("words", "said"), [
    (("--name", " "), "--name ' ' is no name"),
    (("--name", "a\nb"), "--name 'a\\nb' is no name"),
    (("--name", "a", "--model", "standard"), "--name 'a' can name one model, and 2 are given"),
])  # fmt: skip
def test_a_name_that_is_none_is_refused(work, capsys, words, said):
    assert evaluated(*words) == 2
    assert said in capsys.readouterr().err
    assert not (work / "results").exists()


def test_the_main_job_prints_a_table_and_then_json(work, capsys):
    assert evaluated() == 0
    out = capsys.readouterr().out
    assert "fgsm@1" in out
    assert "mode observed" in out
    assert evaluated("--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["n"] == 64
    assert len(summary["cells"]) == 4
    assert Path(summary["run"], "run.json").is_file()
    assert evaluated("--json", "--eps", "0.01") == 0
    assert json.loads(capsys.readouterr().out)["grid"] == ["0.01"]


def test_several_models_are_a_list(work, capsys):
    (work / "other.py").write_text(MODEL)
    words = ["--model", "mine.py:tiny", "--model", "other.py:tiny", "--suite", "fgsm", "--n", "8", "--json"]
    assert main(["eval", *words]) == 0
    assert [len(summary["cells"]) for summary in json.loads(capsys.readouterr().out)] == [4, 4]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--eps", "8"], "did you mean 8/255"),
        (["--eps", "nan"], "epsilon 'nan'"),
        (["--eps", "8/0"], "epsilon '8/0'"),
        (["--eps", "1/255,1/255"], "stands twice"),
        (["--n", "0"], "--n 0"),
        (["--n", "999999"], "--n 999999"),
        (["--n", "many"], "--n"),
        (["--device", "gpu"], "unknown device 'gpu'"),
        (["--batch-size", "big"], "neither auto nor a number"),
        (["--batch-size", "0"], "at least 1"),
        (["--mode", "fast"], "unknown mode 'fast'"),
        (["--mode", "watch", "--faithful"], "contradicts"),
        (["--witnesses", "few"], "not one of"),
        (["--data", "sings"], "did you mean 'signs'"),
        (["--data", "gtsrb", "--data-root", "no-such-folder"], "no-such-folder"),
        (["--data", "folder:no-such-folder"], "no-such-folder"),
        (["--results", "mine.py"], "cannot be written"),
        (["--no-such-option"], "no-such-option"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(work, capsys, words, message):
    assert evaluated(*words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    lines = [line for line in told.err.splitlines() if line.startswith("harness: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in told.err


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("tradse", "did you mean 'trades'"),
        ("mine.py:absent", "absent"),
        ("absent.py:tiny", "absent.py"),
        ("mine.py:nothing", "int"),
        ("mine.py:broken", "no weights here"),
        ("mine.py:ten", "10 classes"),
        ("torchvision:resnet999", "resnet999"),
    ],
)
def test_bad_models_are_one_line_and_exit_2(work, capsys, model, message):
    assert evaluated(model=model) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("harness: ")]
    assert len(lines) == 1
    assert message in lines[0]


def test_unknown_suites_and_bad_suite_files(work, capsys):
    assert main(["eval", "--model", "mine.py:tiny", "--suite", "pdg"]) == 2
    assert "did you mean 'pgd'" in capsys.readouterr().err
    (work / "s.toml").write_text('name = "s"\nversion = 1\nnorm = "linf"\nepsilons = ["1/255"]\nattacks = 3\n')
    assert main(["eval", "--model", "mine.py:tiny", "--suite", "s.toml"]) == 2
    assert "line 5: unknown key 'attacks'" in capsys.readouterr().err


def test_debug_shows_the_traceback(work, capsys):
    assert evaluated("--eps", "8", "--debug") == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_results_folder_that_cannot_be_written(work, capsys):
    (work / "results").write_text("a file")
    assert evaluated() == 2
    assert "choose another with --results" in capsys.readouterr().err


def test_missing_cells_exit_3(work, capsys, monkeypatch):
    from harness.attack import BaseAttack
    from harness.errors import MissingPackage

    def absent(self):
        raise MissingPackage("torchattacks is not installed; run: pip install torchattacks")

    def perturb(self, model, problem):
        raise MissingPackage("torchattacks is not installed; run: pip install torchattacks")

    import adapters.torchattacks

    monkeypatch.setattr(BaseAttack, "tool_version", absent)
    monkeypatch.setattr(adapters.torchattacks.FGSM, "tool_version", absent)
    monkeypatch.setattr(adapters.torchattacks.FGSM, "perturb", perturb)
    assert evaluated("--json") == 3
    summary = json.loads(capsys.readouterr().out)
    assert {cell["status"] for cell in summary["cells"]} == {"missing"}
    assert any("pip install torchattacks" in finding["message"] for finding in summary["findings"])


@pytest.mark.slow
@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_loses_nothing_and_the_same_command_goes_on(work, presses):
    command = [sys.executable, "-c", "import sys; from harness.cli import main; sys.exit(main(sys.argv[1:]))"]
    words = [*command, "eval", "--model", "mine.py:tiny", "--suite", "slow.toml", "--n", "512", "--json"]
    (work / "slow.toml").write_text(
        'name = "slow"\nversion = 1\nnorm = "linf"\nepsilons = ["1/255", "2/255", "3/255"]\nchunk = 128\n'
        '[[attack]]\nid = "pgd"\ntool = "torchattacks"\nmethod = "pgd"\n'
        'params = { steps = 300, step_size = "epsilon/100", random_start = true }\n'
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    first = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list(work.glob("results/*/facts/pgd@*.parquet")):
        time.sleep(0.02)
    for _ in range(presses):
        first.send_signal(signal.SIGINT)
        time.sleep(0.01)
    _, told = first.communicate(timeout=120)
    assert first.returncode == 2, told
    assert "the same command goes on" in told
    finished = {path: path.stat().st_mtime_ns for path in work.glob("results/*/facts/*.parquet")}
    assert 0 < len(finished) < 4 + 12
    again = subprocess.run(words, capture_output=True, text=True, env=environment, check=False, timeout=240)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["status"] == "complete"
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in finished.items())


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["leaderboard", LONG], LONG),
        (["verify", LONG], f"{LONG}/run.json"),
        (["gate", LONG, "--require", "clean>=0.1"], LONG),
    ],
)
def test_a_path_that_the_system_refuses_is_named_in_one_line(words, named, capsys):
    assert main(words) == 2
    assert capsys.readouterr().err == f"harness: {named} cannot be used: File name too long\n"


@pytest.mark.parametrize("words", [[], ["x", "--option", "3", "y"], ["--json"]])
def test_a_command_that_cannot_be_imported_says_so_whatever_it_is_given(monkeypatch, capsys, words):
    def fails(self, name):
        raise PluginError(f"command {name!r} of package there cannot be imported: no leg to stand on")

    monkeypatch.setattr(Registry, "load", fails)
    assert main(["compare", *words]) == 2
    assert capsys.readouterr().err == (
        "harness: command 'compare' of package there cannot be imported: no leg to stand on\n"
    )
