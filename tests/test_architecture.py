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


POSITIONAL = 5
"""How many arguments in a row a reader still tells apart."""
PROMISED = {"harness/types.py", "model_zoo/defenses/base.py"}
"""Public dataclasses: what plugins write stays valid."""


def long_dataclasses():
    """Dataclasses with more than `POSITIONAL` fields: file, name, and how many of them can be given by position."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.ClassDef):
                    continue
                made = [ast.unparse(part) for part in node.decorator_list]
                made = [text for text in made if re.match(r"(dataclasses\.)?dataclass\b", text)]
                kinds = [ast.unparse(part.annotation) for part in node.body if isinstance(part, ast.AnnAssign)]
                kinds = [kind for kind in kinds if not kind.startswith("ClassVar")]
                if made and len(kinds) > POSITIONAL:
                    before = kinds.index("KW_ONLY") if "KW_ONLY" in kinds else len(kinds)
                    name = path.relative_to(ROOT).as_posix()
                    yield name, node.name, 0 if "kw_only=True" in made[0] else before


def test_long_dataclasses_are_built_by_name():
    found = {(path, name): count for path, name, count in long_dataclasses()}
    assert found["harness/inputs/suite.py", "Suite"] == 0
    assert found["harness/run/options.py", "Options"] == 1
    assert found["harness/types.py", "ModelCard"] > POSITIONAL, "a public one keeps its order"
    assert not {key for key, count in found.items() if count > POSITIONAL and key[0] not in PROMISED}
