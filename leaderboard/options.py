"""Options that several commands take alike: which runs they are about, and whose word is believed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SuiteOption = Annotated[
    str | None, typer.Option("--suite", help="Only runs of this suite: NAME, NAME@VERSION or a suite file.")
]
DataOption = Annotated[
    str | None, typer.Option("--data", help="Only runs on this data set, as for eval or as results name it.")
]
NumberOption = Annotated[int | None, typer.Option("--n", min=1, help="Only runs on this many samples.")]
ModeOption = Annotated[str | None, typer.Option("--mode", help="Only runs in this mode.")]
AttackOption = Annotated[
    list[str] | None, typer.Option("--attack", help="Show only this attack, or worst; repeatable.")
]
JoinedOption = Annotated[
    bool | None,
    typer.Option(
        "--joined/--no-join",
        help="Only estimates joined from a cheap run and a dear one on its first samples, or none (default: both).",
    ),
]
BoardOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--board",
        help="Folder whose board.toml is believed beside other runs; repeatable. A folder of published files that is"
        " named alone is believed.",
    ),
]
