"""``harness list``: what is registered, read without importing it."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from harness.base.installing import OURS, extra
from harness.cli.output import envelope, print_json
from harness.errors import HarnessError, UnknownName
from harness.inputs.registry import GROUPS, Entry, Registry, weights_folders

KINDS = ("models", "defenses", "attacks", "suites", "datasets")
FOLDERS = {kind: f"cards/{kind}" for kind in KINDS} | {"suites": "suites"}


def list_plugins(
    kind: Annotated[str, typer.Argument(help="models, defenses, attacks, suites or datasets.")],
    load: Annotated[bool, typer.Option("--load", help="Import each one and show which are broken.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """List models, defenses, attacks, suites or data sets; imports nothing unless --load."""
    if kind not in KINDS:
        raise UnknownName("kind of plugin", kind, KINDS)
    registry = Registry(kind)
    rows = [_row(kind, entry, registry, load) for entry in registry.entries()]
    if as_json:
        print_json(envelope("list", rows, ok=not any(row.get("broken") for row in rows)))
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
    "attacks": {
        "tool": "tool",
        "method": "method",
        "kind": "kind",
        "norms": "norms",
        "parameters": "parameters",
        "caveats": "caveats",
    },
    "suites": {"version": "version", "norm": "norm", "epsilons": "epsilons", "attacks": "attack"},
    "datasets": {"what it is": "description"},
}


def _show(details: dict[str, Any], path: str) -> str:
    value: Any = details
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
