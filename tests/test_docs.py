"""What README and docs show must exist: every `harness ...` line parses, every make target and linked file is there."""

import re
import shlex

import pytest
import typer
from repository import ROOT

from harness.cli import build
from harness.evidence.run_schema import fields_table
from harness.inputs.suite_file import read_suite
from harness.types import AdaptationRequest, AttackSpec, Claim, DataRequest, LoadedModel, ModelCard, Problem

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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_row_of_a_table_has_the_columns_of_its_header(page):
    """A row that slipped in from another table is shown with empty cells, and says nothing."""
    lines = page.read_text(encoding="utf-8").splitlines()
    wanted = 0
    for above, line in zip(["", *lines], lines, strict=False):
        if not line.startswith("|"):
            continue
        cells = len(re.findall(r"(?<!\\)\|", line)) - 1
        wanted = wanted if above.startswith("|") else cells
        assert cells == wanted, line


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    for page in PAGES:
        for name in re.findall(r"\$ make ([a-z]+)", page.read_text(encoding="utf-8")):
            assert name in targets


def test_the_readme_was_read():
    assert len([page for page, _ in LINES if page.name == "README.md"]) >= 6


def test_the_suites_are_those_of_the_table():
    text = (ROOT / "docs" / "suites.md").read_text(encoding="utf-8").partition("## Built-in suites")[2]
    text = text.partition("**l2 and l1.**")[0]
    rows = {
        name: (attacks, grid) for name, attacks, grid in re.findall(r"^\| `([\w-]+)` \| (.+) \| (.+) \|$", text, re.M)
    }
    suites = [read_suite(path) for path in (ROOT / "harness" / "suites").glob("*.toml")]
    assert set(rows) == {suite.name for suite in suites}
    for suite in suites:
        attacks, grid = rows[suite.name]
        assert grid == ", ".join(epsilon.label for epsilon in suite.grid)
        assert suite.norm == (suite.name if suite.name in ("l0", "l1", "l2") else "linf")
        assert re.findall(r"mode `([\w-]+)`", attacks) == ([suite.mode] if suite.mode_is_set else [])


@pytest.mark.parametrize("part", [DataRequest, LoadedModel, ModelCard, Claim, AttackSpec, Problem, AdaptationRequest])
def test_what_a_plugin_is_given_is_on_its_page(part):
    page = (ROOT / "docs" / "types.md").read_text(encoding="utf-8")
    _, _, section = page.partition(f"### {part.__name__}\n")
    table = fields_table({part: ""})
    assert section.partition("#")[0].endswith(table + "\n" * (part is not AdaptationRequest))
    assert all(row.count("|") == 3 and len(row.split("|")[2]) > 5 for row in table.splitlines()[2:])


def test_every_page_is_in_the_site_and_can_be_reached():
    nav = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.M)
    assert sorted(nav) == sorted(path.name for path in (ROOT / "docs").glob("*.md")), "each page once"
    readme, index = ((ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "docs/index.md"))
    for example in (path.name for path in (ROOT / "examples").iterdir() if path.is_file()):
        assert f"](examples/{example})" in readme
        assert f"](../examples/{example})" in index
    missing = [page for page in nav if page != "index.md" and f"docs/{page}" not in readme]
    assert not missing, "no way from the README"
