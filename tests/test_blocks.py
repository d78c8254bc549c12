"""Every code block of README and docs is run, or says why not.

A comment ``<!-- not run: REASON -->`` on the line before a block excuses it; REASON is network, GPU, time, or excerpt
(a part of a file that another test holds to the code). Blocks without a language, or of text, show output.
"""

import contextlib
import io
import json
import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from repository import ROOT

from harness.cli import main

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
REASONS = ("network", "GPU", "time", "excerpt")
BLOCK = re.compile(
    r"(?:^[ ]*<!-- not run: (?P<reason>[^>]*?) -->\n)?^(?P<pad>[ ]*)```(?P<kind>\S*)\n(?P<text>.*?)^[ ]*```",
    re.M | re.S,
)
SHOWN = re.compile(r"^print\(.*\)  # ([\d., ]+)$", re.M)
"""What a line prints: numbers in a comment behind it, with two digits."""
ONE_IMAGE = 1 / 64
"""Another processor rounds otherwise, and one image of an example's 64 may fall or stand."""


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    kind: str
    text: str
    reason: str | None


def blocks(page):
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        body = re.sub(f"^{found['pad']}", "", found["text"], flags=re.M)
        line = text.count("\n", 0, found.start()) + 1
        yield Block(page, line, found["kind"], body, found["reason"])


ALL = [block for page in PAGES for block in blocks(page)]
RUN = [
    page
    for page in PAGES
    if any(not b.reason and b.kind in ("python", "console", "toml", "json") for b in blocks(page))
]


def commands(text):
    """The commands of a console block; lines without a prompt are output."""
    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line.removeprefix("$ "), comments=True) for line in lines if line.startswith("$ ")]


@pytest.mark.parametrize("block", ALL, ids=lambda b: f"{b.page.name}:{b.line}")
def test_a_block_is_run_or_excused(block):
    if block.reason is not None:
        assert block.reason in REASONS
        return
    if block.kind in ("", "text"):
        assert not re.search(r"^\$ |^harness ", block.text, flags=re.M), "commands stand in a console block"
        return
    assert block.kind in ("python", "console", "toml", "json"), f"a block of {block.kind} needs `<!-- not run: ... -->`"
    for words in commands(block.text) if block.kind == "console" else ():
        assert words[:1] == ["harness"], f"{words} needs `<!-- not run: ... -->`"


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_the_blocks_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for block in blocks(page):
        where = f"{page.name}, line {block.line}"
        if block.reason is not None:
            continue
        if block.kind == "toml":
            tomllib.loads(block.text)
        elif block.kind == "json":
            json.loads(block.text)
        elif block.kind == "python":
            (tmp_path / "block.py").write_text(block.text)
            with contextlib.redirect_stdout(io.StringIO()) as told:
                exec(compile(block.text, where, "exec"), {"__name__": "block"})
            shown = [float(number) for line in SHOWN.findall(block.text) for number in line.split(", ")]
            printed = re.findall(r"\d+\.\d+", told.getvalue()) if shown else []
            assert [float(number) for number in printed] == pytest.approx(shown, abs=ONE_IMAGE + 0.005), where
        elif block.kind == "console":
            for words in commands(block.text):
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as told:
                    code = main(words[1:])
                assert code == 0, f"{where}: {' '.join(words)}: {told.getvalue()}"
