"""``harness new-defense``: start a plugin of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def new_plugin(
    name: Annotated[str, typer.Argument(help="Name of the plugin and of its package, for instance my-defense.")],
    kind: Annotated[str, typer.Option(help="defense, attack, model, dataset or suite.")] = "defense",
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the package's folder is made.")] = Path("."),
) -> None:
    """Write a small installable package for a defense, attack, model, data set or suite of your own."""
    from harness.cli.scaffold import write

    for path in write(name, kind, output):
        typer.echo(path)
    typer.echo(f"next: pip install -e {output / name} && python -m pytest {output / name}", err=True)
