"""Data walks one way: who may import whom, read from the source."""

import ast

import pytest
from repository import ROOT

PACKAGES = ("harness", "adapters", "model_zoo", "leaderboard")
TOOLS = {"torchattacks", "autoattack", "pyautoattack", "art"}
MAY = {
    "harness": {"harness"},
    "adapters": {"adapters", "harness"},
    "model_zoo": {"model_zoo", "harness"},
    "leaderboard": {"leaderboard", "harness"},
}


def imported(path):
    """Top-level names of everything a file imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


FILES = [(package, path) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize(("package", "path"), FILES, ids=[str(path.relative_to(ROOT)) for _, path in FILES])
def test_a_file_imports_only_what_its_package_may(package, path):
    names = set(imported(path))
    assert names & set(PACKAGES) <= MAY[package]
    if package != "adapters":
        assert not names & TOOLS, "only adapters may import the attack tools"


def test_the_files_were_found():
    assert len(FILES) > 30
    assert {package for package, _ in FILES} == set(PACKAGES)
