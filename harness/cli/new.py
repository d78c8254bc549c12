"""``harness new-defense``: start a plugin of one's own."""

from __future__ import annotations

import keyword
import re
import sys
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from harness.errors import UnknownName, UsageError
from harness.inputs.registry import GROUPS, Registry


def new_plugin(
    name: Annotated[str, typer.Argument(help="Name of the plugin and of its package, for instance my-defense.")],
    kind: Annotated[str, typer.Option(help="defense, attack, model, dataset or suite.")] = "defense",
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the package's folder is made.")] = Path("."),
) -> None:
    """Write a small installable package for a defense, attack, model, data set or suite of your own."""
    for path in write(name, kind, output):
        typer.echo(path)
    typer.echo(f"next: pip install -e {output / name} && python -m pytest {output / name}", err=True)


KINDS = ("defense", "attack", "model", "dataset", "suite")


_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")


_CARDS = {"defense": "defenses", "attack": "attacks", "model": "models", "dataset": "datasets"}


def write(name: str, kind: str, parent: Path) -> list[Path]:
    """Write the package `name` for a plugin of `kind` into the new folder ``parent/name``; the files written.

    Raises:
        UsageError: no usable name, one that a plugin, an installed package or Python has, or the folder exists.
        UnknownName: no such kind.
    """
    if kind not in KINDS:
        raise UnknownName("kind of plugin", kind, KINDS)
    if not _NAME.fullmatch(name):
        raise UsageError(f"name {name!r} must be lower-case letters and digits in words joined by - or _: my-{kind}")
    words = {
        "name": name,
        "kind": kind,
        "module": name.replace("-", "_"),
        "cls": "".join(part.capitalize() for part in re.split("[-_]", name)),
        "group": GROUPS[f"{kind}s"],
        "registered": f"{name}.step" if kind == "attack" else name,
    }
    _check_free(kind, words["registered"])
    if kind == "attack":
        _check_free("suite", name)  # the package has one beside the attack
    _check_importable(name, words["module"])
    folder = parent / name
    if folder.exists():
        raise UsageError(f"folder {folder} exists already; choose another name or --output")
    written = []
    for target, text in _files(kind, words).items():
        path = folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def _check_free(kind: str, registered: str) -> None:
    for entry in Registry(f"{kind}s").entries():
        if entry.name == registered:
            owner = entry.package
            raise UsageError(f"{kind} {registered!r} is registered by package {owner} already; choose another name")


def _check_importable(name: str, module: str) -> None:
    """Refuse the names under which the new package would hide or, once installed, replace another one."""
    if keyword.iskeyword(module):
        raise UsageError(f"name {name!r} is a word of Python's; choose another name")
    if module in sys.stdlib_module_names:
        raise UsageError(f"name {name!r} is a module of Python's; choose another name")
    spec = find_spec(module)  # of a top-level name: finds, does not import
    if spec is not None and spec.origin is not None:
        raise UsageError(f"name {name!r} is a module of an installed package; choose another name")


def _files(kind: str, words: dict[str, str]) -> dict[str, str]:
    """Path in the new folder to content."""
    module = words["module"]
    targets = {
        "pyproject.toml": "pyproject.toml",
        "README.md": f"{kind}.md",
        f"tests/test_{module}.py": f"{kind}_test.py",
    }
    if kind == "suite":
        targets[f"{module}/__init__.py"] = "suite.py"
    else:
        targets[f"{module}/__init__.py"] = f"{kind}.py"
        targets[f"{module}/cards/{_CARDS[kind]}/{words['registered']}.toml"] = f"{kind}.toml"
    if kind in ("attack", "suite"):
        targets[f"{module}/suites/{words['name']}.toml"] = "suite.toml" if kind == "suite" else "attack_suite.toml"
    value = {"suite": module, "model": f"{module}:{module}", "dataset": f"{module}:{module}"}.get(
        kind, f"{module}:{words['cls']}"
    )
    points = f'[project.entry-points."{words["group"]}"]\n"{words["registered"]}" = "{value}"\n'
    if kind == "attack":
        points += f'\n[project.entry-points."{GROUPS["suites"]}"]\n"{words["name"]}" = "{module}"\n'
    root = files("harness.cli") / "templates"
    return {
        target: Template((root / f"{source}.tmpl").read_text(encoding="utf-8")).substitute(words, points=points)
        for target, source in targets.items()
    }
