"""``harness list``: what is registered, read without importing it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.base.installing import OURS, extra
from harness.cli.output import envelope, print_json
from harness.errors import HarnessError, UnknownName
from harness.inputs.registry import GROUPS, Entry, Registry, weights_folders

if TYPE_CHECKING:
    from rich.console import Console

KINDS = ("models", "defenses", "attacks", "suites", "datasets", "corruptions")
FOLDERS = {kind: f"cards/{kind}" for kind in KINDS} | {"suites": "suites"}


def list_plugins(
    kind: Annotated[str, typer.Argument(help="models, defenses, attacks, suites, datasets or corruptions.")],
    name: Annotated[str | None, typer.Argument(help="Show everything about this one.")] = None,
    load: Annotated[bool, typer.Option("--load", help="Import each one and show which are broken.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """List models, defenses, attacks, suites, data sets or corruptions, or show one; imports nothing unless --load."""
    if kind not in KINDS:
        raise UnknownName("kind of plugin", kind, KINDS)
    registry = Registry(kind)
    entries = [entry for entry in registry.entries() if name in (None, entry.name)]
    if name is not None and not entries:
        raise UnknownName(kind.removesuffix("s"), name, registry.names())
    rows = [_row(kind, entry, registry, load) for entry in entries]
    if as_json:
        print_json(envelope("list", rows, ok=not any(row.get("broken") for row in rows)))
    elif name is not None:
        _print_one(rows)
    elif kind == "attacks":
        _print_names(rows)
    else:
        _print(kind, rows)
    return 1 if any(row.get("broken") for row in rows) else 0


def _row(kind: str, entry: Entry, registry: Registry, load: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"name": entry.name, "package": entry.package, "version": entry.version}
    same = [other for other in registry.entries() if other.name == entry.name]
    try:
        if len(same) > 1:
            registry.get(entry.name)
        row["details"] = entry.details(FOLDERS[kind])
        if kind == "models":
            row["source"] = _source(row["details"], entry)
        if load:
            registry.load(entry.name)
    except HarnessError as error:
        row["broken"] = str(error)
    return row


def _print(kind: str, rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{kind} ({GROUPS[kind]})", title_justify="left")
    columns = _COLUMNS.get(kind, {})
    for title in ("name", *columns, "package"):
        table.add_column(title)
    for row in rows:
        details = row.get("details", {})
        cells = [row.get("source", "–") if path == "source" else _show(details, path) for path in columns.values()]
        package = f"{row['package']} {row['version']}"
        table.add_row(*(Text(text) for text in (row["name"], *cells, package)))
    console = Console() if sys.stdout.isatty() else Console(width=160)
    console.print(table)
    _print_broken(console, rows)


def _print_names(rows: list[dict[str, Any]]) -> None:
    """Attacks by tool, names alone: there are too many for a table to fit a screen."""
    from rich.console import Console
    from rich.text import Text

    tools: dict[str, list[str]] = {}
    for row in rows:
        tool, _, method = row["name"].partition(".")
        tools.setdefault(tool, []).append(method)
    console = Console() if sys.stdout.isatty() else Console(width=80)
    for tool, methods in tools.items():
        console.print(Text(f"{tool}: {', '.join(sorted(methods))}"))
    console.print(
        Text(f"\n{len(rows)} attacks. One of them: harness list attacks {rows[0]['name']}" if rows else "none")
    )
    _print_broken(console, rows)


def _print_one(rows: list[dict[str, Any]]) -> None:
    """Everything about one plugin, a line for each fact; of one name that two packages have, both."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console() if sys.stdout.isatty() else Console(width=100)
    for row in rows:
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        facts = {"name": row["name"], "package": f"{row['package']} {row['version']}"}
        facts |= {key: row[key] for key in ("source",) if key in row}
        for key, text in (facts | dict(_flat(row.get("details", {})))).items():
            table.add_row(Text(key, style="bold"), Text(text))
        console.print(table)
    _print_broken(console, rows)


def _flat(details: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested facts as lines: dotted name and text; what is empty is left out."""
    for key, value in details.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            for place, item in enumerate(value):
                yield from _flat(item if isinstance(item, dict) else {"": item}, f"{prefix}{key}[{place}].")
        elif isinstance(value, list):
            yield from [(f"{prefix}{key}", ", ".join(map(str, value)))] if value else []
        elif value not in (None, ""):
            yield f"{prefix}{key}", str(value)


def _print_broken(console: Console, rows: list[dict[str, Any]]) -> None:
    from rich.text import Text

    for row in rows:
        if "broken" in row:
            console.print(Text(f"broken: {row['broken']}", style="red"), soft_wrap=True)


_COLUMNS: dict[str, dict[str, str]] = {
    "models": {
        "defense": "defense",
        "trained for": "trained_for.epsilon",
        "clean, gtsrb-test": "claims.gtsrb-test.accuracy",
        "clean, signs": "claims.signs.accuracy",
        "weights": "weights.sha256",
        "size": "weights.bytes",
        "source": "source",
    },
    "defenses": {"what it is": "description"},
    "suites": {"version": "version", "threat": "threat", "norm": "norm", "epsilons": "epsilons", "attacks": "attack"},
    "datasets": {"what it is": "description"},
}


_UNWRITTEN = {"threat": "ball"}
"""What a suite file means that leaves a key out."""


def _show(details: dict[str, Any], path: str) -> str:
    value: Any = _UNWRITTEN | details if details else details
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if value is None:
        return "–"
    if path.endswith("accuracy"):
        return f"{100 * value:.2f} %"
    if path.endswith("sha256"):
        return str(value)[:12]
    if path.endswith("bytes"):
        return f"{value / 1e6:.1f} MB"
    if isinstance(value, list):
        return ", ".join(str(item["id"]) if isinstance(item, dict) else str(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {item}" for key, item in value.items())
    return str(value)


def _source(details: dict[str, Any], entry: Entry) -> str:
    """Where a model's weights come from, by its card and by what is installed."""
    weights = details.get("weights") or {}
    file = weights.get("file")
    if file and any((folder / str(file)).is_file() for folder in [*entry.folders("weights"), *weights_folders()]):
        return "installed"
    if weights.get("url"):
        return str(weights["url"])
    if file:
        return f"not installed: {extra('zoo')}" if entry.package == OURS else "not installed"
    return "not shipped" if details else "–"
