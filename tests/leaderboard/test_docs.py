"""The documented commands are real: every option exists, every requirement parses, and the examples run."""

from __future__ import annotations

import re
import shlex

import pytest
import typer
from repository import ROOT
from typer.main import get_command

from leaderboard import cli
from leaderboard.compare.requirements import parse

DOCS = ROOT / "docs"
COMMANDS = {"leaderboard": cli.leaderboard, "compare": cli.compare, "gate": cli.gate}


def documented() -> list[list[str]]:
    """The words of every `harness` command line in the two pages."""
    text = "\n".join((DOCS / name).read_text(encoding="utf-8") for name in ("ci.md", "leaderboard.md"))
    text = re.sub(r"\n +(?=--)", " ", text)  # the folded lines of the workflow
    lines = [re.sub(r"^(- run:)?[$ >-]*", "", line.strip()) for line in text.splitlines()]
    words = [shlex.split(line.partition(" >> ")[0], comments=True) for line in lines if line.startswith("harness ")]
    return [line for line in words if line[1] in COMMANDS]


def test_the_pages_show_every_command() -> None:
    assert {words[1] for words in documented()} == set(COMMANDS)
    assert len(documented()) >= 7


@pytest.mark.parametrize("words", documented(), ids=" ".join)
def test_documented_commands_parse(words: list[str]) -> None:
    app = typer.Typer()
    app.command()(COMMANDS[words[1]])
    context = get_command(app).make_context(words[1], words[2:])  # an unknown option is an error
    for text in context.params.get("require") or ():
        parse(text)


def test_every_requirement_of_the_table_parses() -> None:
    gate = (DOCS / "ci.md").read_text(encoding="utf-8").partition("## GitHub Actions")[0]
    rows = re.findall(r"^\| `(.+?)` \|", gate, re.MULTILINE)
    assert len(rows) == 5
    for row in rows:
        parse(row)
