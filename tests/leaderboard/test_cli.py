"""The commands: what they import, where they write, and what they say to a mistake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import main
from leaderboard import cli


def test_commands_import_nothing_heavy() -> None:
    code = "import sys, leaderboard.cli; print(sorted({'torch', 'numpy', 'pyarrow', 'rich.table'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_leaderboard_goes_to_stdout_or_to_a_file(runs, call, tmp_path: Path, capsys) -> None:
    runs.write("a", {})
    assert call(cli.leaderboard, runs.folder) == 0
    text = capsys.readouterr().out
    assert text.startswith("# Leaderboard\n\n## signs, linf, suite pgd@1, observed\n")
    assert call(cli.leaderboard, runs.folder, "--format", "md", "-o", tmp_path / "board.txt") == 0
    assert (tmp_path / "board.txt").read_text(encoding="utf-8") == text
    assert capsys.readouterr().out.strip() == str(tmp_path / "board.txt")


def test_the_default_is_the_folder_results(runs, call, monkeypatch, capsys) -> None:
    runs.write("a", {})
    monkeypatch.chdir(runs.folder.parent)
    assert call(cli.leaderboard) == 0
    assert "| a |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "results folder 'nowhere' does not exist"),
        (["."], "results folder '.' holds no run"),
        (["--format", "mdd"], "unknown renderer 'mdd'; did you mean 'md'?"),
        (["results", "-o", "no/such/folder/x.md"], "'no/such/folder/x.md' cannot be written"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(runs, monkeypatch, capsys, words: list[str], said: str) -> None:
    runs.write("a", {})
    monkeypatch.chdir(runs.folder.parent)
    assert main(["leaderboard", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("command", [["leaderboard"], ["gate", "--require", "clean>=0"], ["plot"]], ids=lambda c: c[0])
def test_a_run_of_no_samples_is_one_line(runs, capsys, command: list[str]) -> None:
    runs.write("nothing", n=0, status="partial")
    assert main([*command, str(runs.folder)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "run.json: data.n is 0, expected int >= 1" in captured.err
    assert captured.err.count("\n") == 1


def test_a_model_that_is_never_right_has_figures_all_the_same(runs, capsys, tmp_path: Path) -> None:
    runs.write("wrong", n=20, wrong=range(20))
    assert main(["leaderboard", str(runs.folder), "--format", "csv"]) == 0
    assert main(["gate", str(runs.folder), "--require", "worst@8/255>=0.1", "--require", "clean>=0"]) == 1
    said = capsys.readouterr().out
    assert "wrong  worst@8/255>=0.1: 0.0 [0.0, 16.1] %" in said
    assert "1 passed, 1 failed" in said
    assert main(["plot", str(runs.folder), "-o", str(tmp_path / "curves.svg")]) == 0
    assert (tmp_path / "curves.svg").exists()
