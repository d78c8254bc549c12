"""docs/submission.md as it is written, with a small training in the place of a defense and fewer attacks."""

import re
import shlex
import shutil

import pytest
from repository import ROOT

from harness.cli import main
from harness.evidence.store import RunStore
from harness.trust import ledger

PAGE = (ROOT / "docs" / "submission.md").read_text(encoding="utf-8")
SMALL = {"--suite standard --data gtsrb --n 2000": "--suite fgsm --data signs --n 256 --eps 1e-6 --force --device cpu"}
"""What takes hours, and what stands here for it."""


def commands():
    """The lines of steps 1 and 3, as words."""
    text = PAGE
    for words, small in SMALL.items():
        assert words in text
        text = text.replace(words, small)
    found = [shlex.split(line) for line in re.findall(r"^ *\$ harness (.*)$", text, flags=re.M)]
    assert [words[0] for words in found] == ["eval", "verify", "verify", "leaderboard"]
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("author")
    words = "--defense standard --data signs:64 --arch squeezenet1_1 --epochs 1 --batch-size 32 --device cpu"
    assert main(["train", *words.split(), "-o", str(folder / "runs" / "my-defense")]) == 0
    return folder


@pytest.fixture
def author(trained, tmp_path, monkeypatch):
    folder = shutil.copytree(trained, tmp_path / "author")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HARNESS_LEDGER", str(tmp_path / "ledger.jsonl"))
    return folder


def test_the_steps_of_the_page_run(author, tmp_path, monkeypatch, capsys):
    measure, prove, check, publish = commands()
    assert main(measure) == 0
    (run,) = author.glob("results/[!.]*")
    capsys.readouterr()
    assert main(prove) == 0
    assert f"results/{run.name}: " in capsys.readouterr().out

    keeper = tmp_path / "keeper"
    shutil.copytree(run, keeper / "submitted" / run.name)
    shutil.copytree(author / "runs" / "my-defense", keeper / "submitted" / "my-defense")
    (keeper / "results").mkdir()
    shutil.copytree(run, keeper / "results" / run.name)
    monkeypatch.chdir(keeper)
    monkeypatch.setenv("HARNESS_LEDGER", str(tmp_path / "keeper.jsonl"))
    assert main(["verify", "submitted"]) == 2  # the path in run.json leads nowhere here
    assert "the run's model 'my-defense'" in capsys.readouterr().err
    assert main(check) == 0
    assert ledger.verified(keeper / "submitted" / run.name).verdict.startswith("replayed ")
    assert main(publish) == 0
    assert "my-defense" in (keeper / "board.html").read_text(encoding="utf-8")


def test_a_training_folder_that_changed_is_not_taken_for_the_one_of_the_run(author, capsys):
    measure, prove, *_ = commands()
    assert main(measure) == 0
    (run,) = author.glob("results/[!.]*")
    card = author / "runs" / "my-defense" / "card.toml"
    (weights,) = author.glob("runs/my-defense/*.safetensors")
    weights.rename(weights.with_suffix(".away"))
    card.write_text(card.read_text().replace("[weights]", '[weights]\nurl = "https://localhost/never"'))
    assert main(prove) == 2  # nothing is fetched for a stranger's run
    assert "say where it is with --model NAME=WHERE" in capsys.readouterr().err
    assert ledger.verified(run) is None
    info = RunStore(run).read_info()
    assert (info.given.model, info.given.data) == ("runs/my-defense", "signs")
