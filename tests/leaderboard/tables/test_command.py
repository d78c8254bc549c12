"""The line on a row's page measures the row again: where the files lie that it names, with the same key."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

import harness
from harness.cli import main
from harness.evidence.given import Given
from harness.evidence.run_info import Asked
from leaderboard.runs.collect import collect
from leaderboard.runs.published import dump, read_published
from leaderboard.tables.checklist import command
from leaderboard.tables.detail import detail_of

MODEL = """
import torch
from torch import nn

def tiny():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 43)), {"num_classes": 43}
"""
SUITE = """
name = "own"
version = 3
norm = "linf"
epsilons = ["1/255", "8/255"]

[[attack]]
id = "fgsm"
tool = "torchattacks"
method = "fgsm"
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(MODEL)
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "of mine.toml").write_text(SUITE)
    second = SUITE.partition("[[attack]]")[2].replace('"fgsm"\ntool', '"second"\ntool') + "n = 32\nchunk = 16\n"
    (tmp_path / "suites" / "prefix.toml").write_text(f"{SUITE}\n[[attack]]{second}")
    drawn = np.random.default_rng(0)
    (tmp_path / "root").mkdir()
    images, labels = drawn.integers(0, 256, (80, 32, 32, 3), dtype=np.uint8), np.arange(80) % 43
    np.savez(tmp_path / "images.npz", images=images, labels=labels)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _measured(words, results):
    """The one record of what `words` measure."""
    assert main([*words, "--results", results]) == 0
    (record,) = collect([Path(results)])
    return record


@pytest.mark.parametrize(
    "words",
    [
        "--model mine.py:tiny --suite fgsm --n 64 --force",
        "--model HERE/mine.py:tiny --suite 'HERE/suites/of mine.toml' --data HERE/images.npz --data-root HERE/root"
        " --force",
        "--model mine.py:tiny --suite 'suites/of mine.toml' --data images.npz --eps 1/255,0.0123456 --seed 3 --n 33"
        " --batch-size 16 --precision float32 --compile off --witnesses worst --unit-timeout 300 --mode worst-case"
        " --force",
        "--model mine.py:tiny --suite fgsm --n 16 --eps 1/255 --draws 140 --rule mean --force",
        "--model mine.py:tiny --suite suites/prefix.toml --n 64 --attack-n second=16 --until 49.1 --force",
        "--model trades --suite fgsm --data signs --n 16 --transfer others --witnesses none --faithful --name 'my own'",
    ],
)
def test_the_page_s_command_gives_the_same_key(work, monkeypatch, words):
    main(["eval", *shlex.split("--model standard --suite fgsm --n 16 --device cpu --results others")])
    record = _measured(["eval", "--device", "cpu", *shlex.split(words.replace("HERE", str(work)))], "results")
    line = detail_of(record).command
    assert str(work) not in line
    # Absolute paths are named by their last part, so the line is for whoever stands where that lies.
    if "HERE/suites" in words:
        monkeypatch.chdir(work / "suites")
        for name in ("mine.py", "images.npz", "root"):
            (work / name).rename(work / "suites" / name)
    again = _measured([*shlex.split(line)[1:]], "again")
    assert again.info.key == record.info.key
    assert again.info.witnesses == record.info.witnesses
    assert detail_of(again).command == line
    assert ("--transfer" in words) == any(note.check == "P26" for note in again.findings)


def test_what_was_measured_from_python_names_what_was_typed(work):
    harness.evaluate("mine.py:tiny", "fgsm", "images.npz", n=40, device="cpu", force=True, progress=False)
    (record,) = collect([Path("results")])
    again = _measured(shlex.split(command(record.info))[1:], "again")
    assert again.info.key == record.info.key


def test_of_a_file_of_ids_there_is_no_command(work):
    (work / "ids.txt").write_text("".join(f"{place}\n" for place in range(16)))
    words = "eval --model trades --suite fgsm --data signs --ids ids.txt --device cpu"
    record = _measured(shlex.split(words), "results")
    assert command(record.info) == ""  # where the file lies is not in run.json


def test_of_objects_there_is_no_command(work):
    from harness.inputs.find import find_model

    module = find_model("mine.py:tiny").module
    harness.evaluate(module, "fgsm", "images.npz", n=40, name="trades", device="cpu", force=True, progress=False)
    (record,) = collect([Path("results")])
    assert command(record.info) == ""  # not that of the zoo's model of this name


def test_a_published_file_has_the_command_and_no_folder_of_its_publisher(runs, tmp_path):
    home = "/home/me/secret/deep"
    given = {"model": f"{home}/mine.py:tiny", "suite": "fgsm", "data": f"folder:{home}/signs/?order=text",
             "data_root": f"{home}/root", "transfer": [f"{home}/results"]}  # fmt: skip
    runs.write("a", info={"given": given})
    (record,) = collect([runs.folder])
    (tmp_path / "x.run.json").write_text(dump(record))
    assert "secret" not in json.dumps(json.loads((tmp_path / "x.run.json").read_text())["info"]["given"])
    there = read_published(tmp_path / "x.run.json")
    assert command(there.info) == command(record.info)
    assert " --model mine.py:tiny --suite fgsm --data 'folder:signs/?order=text' --data-root" in command(there.info)


@pytest.mark.parametrize(
    ("typed", "public"),
    [
        ("mine.py:tiny", "mine.py:tiny"),
        ("../a/mine.py:tiny", "../a/mine.py:tiny"),
        ("/a/b/mine.py:tiny", "mine.py:tiny"),
        ("/a/b/run/", "run/"),
        ("/a b/images.npy,/c/labels.npy", "images.npy,labels.npy"),
        ("folder:/a/b", "folder:b"),
        ("/a/w.pt?arch=resnet18&key=/x", "w.pt?arch=resnet18&key=x"),
        ("C:\\a\\mine.py:tiny", "mine.py:tiny"),
        ("torchvision:resnet18", "torchvision:resnet18"),
        ("hf-hub:google/vit", "hf-hub:google/vit"),
        ("https://example.org/a/w.pt", "https://example.org/a/w.pt"),
    ],
)
def test_absolute_paths_are_named_by_their_last_part(typed, public):
    assert Given(model=typed).public == Given(model=public)


def test_older_runs_are_asked_for_by_installed_names(runs):
    runs.write("trades", data="gtsrb-test")
    (record,) = collect([runs.folder])
    asked = Asked(device="cpu", batch_size=64, precision="bf16", compile="auto")
    line = command(replace(record.info, asked=asked))
    assert line.startswith("harness eval --model trades --suite pgd --data gtsrb --n 20 ")
    assert line.endswith("--device cpu --batch-size 64 --precision bf16")
    assert command(replace(record.info, suite=replace(record.info.suite, name="mine"))) == ""
    assert command(replace(record.info, model=replace(record.info.model, name="mine:tiny"))) == ""
