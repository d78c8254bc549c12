"""Which runs a command is about: by suite, data set, number of samples and mode, in the words of ``eval``."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UnknownName, UsageError
from harness.inputs.corruptions.names import joined_corruptions, parted_corruptions
from harness.inputs.find import data_name
from harness.inputs.suite_file import read_suite
from leaderboard.rows import WORST
from leaderboard.runs.record import Record

SPLITS = ("test", "val", "train")


@dataclass(frozen=True)
class Filter:
    """What to keep; None keeps all."""

    suite: str | None = None
    """``NAME``, ``NAME@VERSION`` or a suite file."""
    data: str | None = None
    """As eval takes it (``gtsrb``, ``folder:DIR``), or the name that results print (``gtsrb-test``)."""
    n: int | None = None
    """Number of samples."""
    mode: str | None = None


def select(records: Sequence[Record], wanted: Filter) -> list[Record]:
    """The records that fit, in their order.

    Raises:
        UsageError: none does; names the first option that leaves nothing, and what there is.
        BadSuite: the suite file cannot be read.
    """
    suites = None if wanted.suite is None else {_suite_label(wanted.suite)}
    data = None if wanted.data is None else data_names(wanted.data)
    kept = list(records)
    for option, given, fits, value in (
        ("--suite", wanted.suite, suites, _suite),
        ("--data", wanted.data, data, lambda record: record.info.data.name),
        ("--n", wanted.n, {wanted.n}, lambda record: record.info.data.n),
        ("--mode", wanted.mode, {wanted.mode}, lambda record: record.info.mode),
    ):
        if given is None or fits is None:
            continue
        left = [r for r in kept if any(_fits(run, option, fits, value) for run in _runs(r))]
        if not left:
            have = ", ".join(sorted({str(value(record)) for record in kept})) or "nothing"
            raise UsageError(f"no run fits {option} {given}; the runs that are left have {have}")
        kept = left
    return kept


def data_names(text: str) -> set[str]:
    """The names that results may print for what ``--data`` was given, without reading any data."""
    name, argument = data_name(text)
    if argument:
        path, _, options = argument.rpartition("?")
        where = Path((path if path and "=" in options else argument).partition(",")[0])
        stem = where.resolve().name if name in ("folder", "hf") else where.stem
        name = f"{name}-{stem}"
    names = (name, *(f"{name}-{split}" for split in SPLITS))
    return {text, *(joined_corruptions(one, parted_corruptions(text)[1]) for one in names)}


def check_attacks(attacks: Sequence[str], known: Sequence[str]) -> None:
    """Refuse ids of attacks, ``worst`` among them, that no run has.

    Raises:
        UnknownName: there is no such attack.
    """
    for name in attacks:
        if name not in {*known, WORST}:
            raise UnknownName("attack", name, sorted({*known, WORST}))


def _runs(record: Record) -> tuple[Record, ...]:
    """The run, or the two that were joined."""
    return (record,) if record.joined is None else (record.joined.cheap, record.joined.dear)


def _fits(run: Record, option: str, fits: Container[object], value: Callable[[Record], object]) -> bool:
    return value(run) in fits or (option == "--suite" and run.info.suite.name in fits)


def _suite(record: Record) -> str:
    return record.info.suite.label


def _suite_label(text: str) -> str:
    return read_suite(Path(text)).label if text.endswith(".toml") else text
