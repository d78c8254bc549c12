"""Modules that code names in strings, which no import shows: `lint-imports` cannot follow them."""

import ast
import re
from importlib.util import find_spec

import pytest
from repository import ROOT

from harness.inputs.registry import GROUPS

PACKAGES = ("harness", "adapters", "model_zoo", "leaderboard")
MAY = {"harness": {"harness"}} | {package: {package, "harness"} for package in PACKAGES[1:]}
DOTTED = re.compile(rf"({'|'.join(PACKAGES)})(\.[a-z_]\w*)+")
NO_MODULES = {*GROUPS.values(), "harness.witnesses", "harness.facts", "leaderboard.html", "harness.plain"}
"""Entry-point groups, keys of metadata in files, names of files and of an error handler."""


def named_modules():
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                text = node.value if isinstance(node, ast.Constant) else None
                if isinstance(text, str) and DOTTED.fullmatch(text) and text not in NO_MODULES:
                    yield path.relative_to(ROOT), text


NAMED = sorted(set(named_modules()))


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[f"{path}: {name}" for path, name in NAMED])
def test_a_module_named_in_a_string_exists_and_may_be_imported_there(path, name):
    assert find_spec(name) is not None
    assert name.partition(".")[0] in MAY[path.parts[0]]


def test_the_strings_were_found():
    assert "harness.run.api" in {name for _, name in NAMED}
    assert "leaderboard.render.html" in {name for _, name in NAMED}
