"""``harness new-defense``: packages that install, whose own tests pass, and whose plugins are short."""

import ast
import re
from importlib import import_module

import pytest
from overlay import Overlay
from repository import ROOT

from harness.cli import main
from harness.cli.new import KINDS


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("new")
    for kind in KINDS:
        assert main(["new-defense", f"my-{kind}", "--kind", kind, "-o", str(folder)]) == 0
    return folder


@pytest.mark.slow
def test_they_install_are_listed_and_their_tests_pass(packages, tmp_path):
    overlay = Overlay.create(tmp_path / "overlay")
    overlay.install(*(packages / f"my-{kind}" for kind in KINDS), cwd=packages)
    listed = overlay.run("-m", "harness", "list", "defenses", cwd=tmp_path)
    assert "my-defense 0.1.0" in listed.stdout
    tests = [str(packages / f"my-{kind}" / "tests") for kind in KINDS]
    done = overlay.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", *tests, cwd=tmp_path)
    assert "6 passed" in done.stdout


def test_the_defense_takes_ten_lines(packages):
    text = (packages / "my-defense" / "my_defense" / "__init__.py").read_text()
    (defense,) = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
    first = min(part.lineno for part in defense.decorator_list)
    lines = [line for line in text.splitlines()[first - 1 : defense.end_lineno] if line.strip()]
    assert len(lines) <= 10


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["Bad Name"], "must be lower-case"),
        (["trades"], "is registered by package robustness-harness already"),
        (["mine", "--kind", "thing"], "unknown kind of plugin 'thing'"),
        (["my-defense"], "exists already"),
        (["pgd", "--kind", "attack"], "suite 'pgd' is registered by package robustness-harness already"),
        (["torch"], "name 'torch' is a module of an installed package; choose another name"),
        (["model-zoo"], "name 'model-zoo' is a module of an installed package"),
        (["json"], "name 'json' is a module of Python's"),
        (["class"], "name 'class' is a word of Python's"),
    ],
)
def test_bad_names_are_one_line(packages, words, message, capsys):
    assert main(["new-defense", *words, "-o", str(packages)]) == 2
    assert message in capsys.readouterr().err


def lines_of_code(text):
    """Lines but for imports, blank ones, comments and docstrings."""
    tree = ast.parse(text)
    skipped = set()
    for node in ast.walk(tree):
        documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node)
        for part in [node.body[0]] if documented else [node] if isinstance(node, (ast.Import, ast.ImportFrom)) else []:
            skipped |= set(range(part.lineno, part.end_lineno + 1))
    lines = [(place, line.strip()) for place, line in enumerate(text.splitlines(), 1)]
    return sum(bool(line) and not line.startswith("#") and place not in skipped for place, line in lines)


@pytest.mark.parametrize("kind", KINDS)
def test_the_documented_sizes_are_those_of_the_packages(packages, kind):
    module = packages / f"my-{kind}" / f"my_{kind}" / "__init__.py"
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    assert f"| {kind} | `harness.{kind}s` | {lines_of_code(module.read_text())} |" in page


def imported(text):
    """Modules and names of our own packages that a source file imports: (module, name or None)."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {(alias.name, None) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module, alias.name) for alias in node.names}
    return {(module, name) for module, name in found if module.split(".")[0] in ("harness", "model_zoo")}


def test_they_and_the_examples_import_public_names_only(packages):
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    (promise,) = re.findall(r"\*\*Public names\*\*.*?\. ", page, re.DOTALL)
    public = set(re.findall(r"`([a-z_.]+)`", promise))
    assert public == {
        "harness",
        "harness.adaptation",
        "harness.types",
        "harness.errors",
        "harness.attack",
        "harness.testing",
        "model_zoo.defenses.base",
    }
    sources = {path: imported(path.read_text()) for path in [*packages.rglob("*.py"), *ROOT.glob("examples/*.py")]}
    names = set().union(*sources.values())
    assert ("harness", "find_model") in names, "of the model's package"
    for path, those in sources.items():
        for module, name in those:
            assert module in public, f"{path.name} imports from {module}"
            exported = getattr(import_module(module), "__all__", None)
            assert name is None or not name.startswith("_"), f"{path.name} imports {module}.{name}"
            assert None in (name, exported) or name in exported, f"{path.name} imports {module}.{name}"
