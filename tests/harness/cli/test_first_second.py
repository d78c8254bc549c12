"""What needs no network imports none: wrong names are refused, and records read, before torch is there."""

import json
import subprocess
import sys

import pytest
from repository import ROOT

PUBLISHED = str(ROOT / "leaderboard" / "published")
FEW = str(ROOT / "leaderboard" / "seeds")  # the same files, fewer and sooner read
DRIVER = """
import json, sys
from harness.cli import main
code = main(json.loads(sys.argv[1]))
heavy = [name for name in ("torch", "torchvision", "art", "sklearn", "matplotlib", "altair") if name in sys.modules]
print("@@" + json.dumps([code, heavy]))
"""


def called(*words, cwd):
    """Exit code, heavy modules that were imported, stdout and stderr, in an interpreter of its own."""
    command = [sys.executable, "-c", DRIVER, json.dumps(words)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=True, timeout=120)
    out, _, last = done.stdout.rpartition("@@")
    return *json.loads(last), out, done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["eval", "--model", "tradse", "--suite", "pgd"], "unknown model 'tradse'; did you mean 'trades'"),
        (["eval", "--model", "trades", "--suite", "pdg"], "unknown suite 'pdg'; did you mean 'pgd'?"),
        (["eval", "--model", "trades", "--suite", "pgd", "--data", "sings"], "unknown dataset 'sings'"),
        (["doctor", "--model", "tradse"], "unknown model 'tradse'"),
        (["doctor", "--model", "trades", "--data", "sings:9"], "unknown dataset 'sings'"),
        (["verify", PUBLISHED, "--model", "tradse"], "is no run folder"),
        (["train", "--defense", "tradse", "-o", "x"], "unknown defense 'tradse'"),
        (["train", "--defense", "trades", "--data", "gtsrb,sings:9", "-o", "x"], "unknown dataset 'sings'"),
        (["reproduce", "--data", "sings"], "unknown dataset 'sings'"),
        (["list", "modles"], "unknown kind of plugin 'modles'"),
        (["leaderboard", "--format", "htlm"], "unknown renderer 'htlm'"),
        (["gate", PUBLISHED, "--require", "clean>=high"], "clean>=high"),
    ],
)
def test_a_wrong_word_is_refused_before_torch_is_imported(tmp_path, words, message):
    code, heavy, out, told = called(*words, cwd=tmp_path)
    assert (code, heavy, out) == (2, [], "")
    (line,) = told.splitlines()
    assert line.startswith("harness: ")
    assert message in line


@pytest.mark.parametrize(
    "words",
    [
        ["verify", "--help"],
        ["gate", FEW, "--require", "clean>=0.5"],
        ["compare", "standard", "trades", PUBLISHED],
        ["leaderboard", FEW, "--format", "md"],
        ["leaderboard", FEW, "--format", "csv"],
        ["leaderboard", FEW, "--format", "json"],
        ["leaderboard", FEW, "--format", "latex"],
        ["list", "attacks"],
    ],
)
def test_reading_records_imports_no_torch(tmp_path, words):
    code, heavy, out, _ = called(*words, cwd=tmp_path)
    assert (code, heavy) == (0, [])
    assert out


def test_a_folder_and_a_strangers_source_are_not_refused_by_their_names(tmp_path, monkeypatch):
    from harness.errors import UnknownName
    from harness.inputs import find
    from harness.inputs.registry import Registry

    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownName):
        find.check_names(["mine"])
    (tmp_path / "mine").mkdir()
    find.check_names(["mine", "absent.py:f", "torchvision:no", "a/b", "trades"], ["signs:3"])

    real = Registry.entries
    stranger = lambda self: [*real(self), *([find_entry()] if self.kind == "sources" else [])]  # noqa: E731
    monkeypatch.setattr(Registry, "entries", stranger)
    find.check_names(["anything"])


def find_entry():
    from types import SimpleNamespace

    return SimpleNamespace(name="other", package="some-package")


def test_harness_alone_prints_help_and_the_version_stands_alone(capsys):
    from harness import __version__
    from harness.cli import main

    assert main([]) == 0
    told = capsys.readouterr()
    assert "[OPTIONS] COMMAND [ARGS]..." in told.out
    assert told.err == ""
    assert main(["--version"]) == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == (f"harness {__version__}\n", "")
    assert main(["eval", "--version"]) == 2


def test_a_spinner_turns_on_a_terminal_and_nowhere_else(monkeypatch, capsys):
    from rich.console import Console

    from harness.cli import output

    with output.waiting("thinking"):
        pass
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(Console, "is_terminal", property(lambda self: True))
    with output.waiting("thinking"):
        pass
    told = capsys.readouterr()
    assert told.out == ""
    assert "thinking" in told.err
