"""The runs that a command's arguments name, and what is told on stderr of those that are left out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from harness.cli import EXIT_DONE, EXIT_MISSING
from harness.errors import BadRun, UsageError
from leaderboard.runs.board import BOARD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leaderboard.runs.record import Record

_RESULTS = Path("results")
_JOINING = "that takes a run of a cheap suite and one of a dear suite on the first samples of it, of the same model"


def places(results: list[Path] | None, boards: list[Path] | None) -> tuple[list[Path], list[Path]]:
    """The folders that are read, and those whose boards are believed."""
    from leaderboard.runs.collect import alone

    folders = results or [_RESULTS]
    return folders, list(boards or alone(folders))


def tell_claims(records: Sequence[Record], boards: Sequence[Path]) -> None:
    """Say which boards are not believed, though they lie beside files that are shown."""
    believed = {one.resolve() for one in boards}
    for folder in sorted({record.folder.parent for record in records if record.claim}):
        if (folder / BOARD).exists() and folder.resolve() not in believed:
            typer.echo(f"claims, for the board in {folder} is not believed here: see --board", err=True)


def tell_skipped(skipped: list[BadRun]) -> int:
    """Say which runs were left out; the exit code."""
    for error in skipped:
        typer.echo(f"skipped: {error}", err=True)
    return EXIT_MISSING if skipped else EXIT_DONE


def verified(records: list[Record]) -> list[Record]:
    """Those whose survivors were attacked again; says how many others there are. Raises BadRun if there is none."""
    found = [record for record in records if record.replayed or (record.listed and record.standing == 3)]
    if not found:
        raise BadRun(f"none of {len(records)} runs is replayed; `harness verify FOLDER --replay 100` first")
    if others := len(records) - len(found):
        typer.echo(f"left out, for their survivors were not attacked again: {others} of {len(records)} runs", err=True)
    return found


def read_records(
    folders: list[Path],
    skipped: list[BadRun],
    boards: list[Path],
    suite: str | None,
    data: str | None,
    n: int | None,
    mode: str | None,
    attacks: list[str] | None,
    joined: bool | None,
) -> list[Record]:
    """The runs in `folders` that the options ask for; those that contradict themselves are added to `skipped`.

    Joined runs stand behind them, or alone; what could not be joined is told on stderr.
    """
    from leaderboard.runs.chosen import Filter, check_attacks, select
    from leaderboard.runs.collect import collect
    from leaderboard.tables.joining import with_joined

    records = collect(folders, skipped, boards)
    wanted, told = Filter(suite, data, n, mode), list[str]()
    if joined:
        records = [record for record in with_joined(records, told) if record.joined is not None]
        if not records:
            raise UsageError(f"no two runs can be joined; {told[0] if told else _JOINING}")
    records = select(records, wanted)
    if joined is None:
        records = with_joined(records, told)
    for line in told:
        typer.echo(line, err=True)
    check_attacks(attacks or (), [attack.id for record in records for attack in record.info.suite.attacks])
    return records
