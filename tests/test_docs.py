"""What README and docs show must exist: every `harness ...` line parses, every make target and linked file is there."""

import re
import shlex

import pytest
import typer
from repository import ROOT

from harness.cli import build

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def commands(page):
    """`harness` lines of a page's code blocks, with line continuations joined and comments cut."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"```[a-z]*\n(.*?)```", text, flags=re.S):
        for line in block.replace("\\\n", " ").splitlines():
            line = re.sub(r"^\s*(\$ |run: |- run: )", "", line)
            if line.startswith("harness "):
                yield shlex.split(line, comments=True)[1:]


LINES = [(page, words) for page in PAGES for words in commands(page)]


@pytest.mark.parametrize(("page", "words"), LINES, ids=[f"{p.name}: {' '.join(w)[:60]}" for p, w in LINES])
def test_a_command_line_parses(page, words):
    program = typer.main.get_command(build())
    if words in (["--help"], ["--version"]):
        return
    assert words[0] in program.commands, f"{page.name} shows an unknown command"
    # Placeholders in capitals or angle brackets stand for a value.
    program.commands[words[0]].make_context(words[0], [w for w in words[1:] if w != ">"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_linked_files_exist(page):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    for page in PAGES:
        for name in re.findall(r"\$ make ([a-z]+)", page.read_text(encoding="utf-8")):
            assert name in targets


def test_the_readme_was_read():
    assert len([page for page, _ in LINES if page.name == "README.md"]) >= 6
