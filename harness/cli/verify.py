"""``harness verify``: what runs prove, without an attack tool."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.base.text import percent
from harness.cli.output import envelope, print_json, waiting
from harness.errors import BadRun, HarnessError, SubjectNotFound, TornFile, UsageError
from harness.inputs.find import check_names, parted
from harness.types import Finding

TOLD = 10
"""Contradictions of one kind that are printed."""

if TYPE_CHECKING:
    from harness.trust.verify.subjects import Subjects
    from harness.trust.verify.verdict import Verdict
    from harness.trust.verify.verify import VerifyOptions

_PUBLISHED = ".run.json"


def verify_runs(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders of runs.")],
    replay: Annotated[
        int | None, typer.Option(metavar="K", help="Attack K randomly drawn survivors again, as recorded.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the draw (default: a new one, which is printed).")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME=]WHERE", help="A model of the runs that is no installed name; repeatable."),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME=]WHERE", help="Data of the runs that are no installed name; repeatable."),
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder with local copies of data sets (or HARNESS_DATA).")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N; need not be the runs'.")] = "auto",
    by: Annotated[str | None, typer.Option(help="Your name, for the ledger.")] = None,
    ledger: Annotated[
        Path | None, typer.Option(help="Where verdicts are kept (or HARNESS_LEDGER; default: your state folder).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Prove "robust accuracy is at most X" from a run's witnesses and facts; exit 1 if anything contradicts it."""
    if replay is not None and replay < 1:
        raise UsageError(f"--replay {replay} must be at least 1")
    if seed is not None and seed < 0:
        raise UsageError(f"--seed {seed} must be at least 0")
    folders = [folder for given in runs for folder in _run_folders(given)]
    for given in runs:
        for line in _not_judged(given):
            typer.echo(line, err=True)
    check_names([parted(text)[1] for text in model or ()], [parted(text)[1] for text in data or ()])
    with waiting("starting"):
        import secrets

        from harness.base.machine import pick_device
        from harness.trust.ledger import ledger_path, record
        from harness.trust.verify.subjects import Subjects
        from harness.trust.verify.verify import VerifyOptions

    # A seed that an author can foresee tells him which survivors nobody will look at.
    options = VerifyOptions(replay or 0, secrets.randbits(31) if seed is None else seed, device)
    pick_device(device)  # refused once, not for every run
    subjects = Subjects(model or (), data or (), data_root)
    subjects.load()
    verdicts: list[Verdict] = []
    unread: list[Finding] = []
    for folder in folders:
        try:
            with waiting(f"verifying {folder}") as say:
                verdict, content = _verify(folder, subjects, replace(options, say=say))
        except HarnessError as error:
            if len(folders) == 1:
                raise
            skipped = isinstance(error, SubjectNotFound)
            unread.append(Finding("skipped" if skipped else "unreadable", "error", f"{folder}: {error}"))
            typer.echo(f"harness: {unread[-1].message}", err=True)
            continue
        record(verdict, content, by, ledger)  # before it is printed: whoever reads may hang up
        verdicts.append(verdict)
        if not as_json:
            with _who_may_hang_up():
                _print(verdict)
    if as_json:
        findings = [problem for verdict in verdicts for problem in verdict.problems] + unread
        with _who_may_hang_up():
            print_json(envelope("verify", [verdict.as_dict() for verdict in verdicts], not findings, findings))
    elif verdicts:
        typer.echo(f"recorded in {ledger or ledger_path()}", err=True)
    if not all(verdict.ok for verdict in verdicts):
        return 1
    return 2 if unread else 0


@contextmanager
def _who_may_hang_up() -> Iterator[None]:
    """Print for somebody who may not read to the end, which changes nothing of the answer."""
    try:
        yield
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # rich makes the second of the first
        with open(os.devnull, "w") as nowhere:  # what is left in the buffer, and what follows, goes there
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _verify(folder: Path, subjects: Subjects, options: VerifyOptions) -> tuple[Verdict, str]:
    """The verdict on one run, and the hash of what it is about."""
    from harness.evidence.run_json import parse
    from harness.evidence.store import RunStore
    from harness.trust.ledger import content_hash
    from harness.trust.verify.verify import refused, unreadable, verify

    hashed = content_hash(folder)  # before it is read: of what was verified, not of what lies there later
    try:
        content = RunStore(folder).read_json("run.json")
    except TornFile as error:
        return unreadable(folder, error), hashed
    try:
        info = parse(content)
    except BadRun as error:
        return refused(folder, content, error), hashed
    return verify(folder, *subjects.of(info), options), hashed


def _run_folders(given: Path) -> list[Path]:
    """The run itself, or the runs in a folder."""
    if (given / "run.json").is_file():
        return [given]
    found = sorted(path.parent for path in given.glob("*/run.json"))
    if not found:
        files = given.name.endswith(_PUBLISHED) or any(given.glob(f"*{_PUBLISHED}"))
        what = (
            "the run that a published file was made from, the file proves nothing"
            if files
            else "one that `harness eval` wrote"
        )
        raise BadRun(f"{str(given)!r} is no run folder and holds none; name {what}")
    return found


def _not_judged(given: Path) -> list[str]:
    """What lies in a folder of runs without being one, a line each."""
    if (given / "run.json").is_file():
        return []
    found = []
    for path in sorted(path for path in given.iterdir() if not (path / "run.json").is_file()):
        published = path.is_file() and path.name.endswith(_PUBLISHED)
        if path.name.startswith(".") and not published:
            continue  # the harness's own cache and locks
        why = "a published file proves nothing; verify the run it was made from" if published else "no run"
        found.append(f"not judged: {path} ({why})")
    return found


def _print(verdict: Verdict) -> None:
    """The verdict as a person reads it."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console() if sys.stdout.isatty() else Console(width=160)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    say(f"{verdict.folder}: {verdict.value}")
    kinds = Counter(problem.check for problem in verdict.problems)
    told: Counter[str] = Counter()
    for problem in verdict.problems:
        told[problem.check] += 1
        if told[problem.check] <= TOLD:
            say(f"  {problem.check}: {problem.message}")
    for check, count in kinds.items():
        if count > TOLD:
            say(f"  {check}: and {count - TOLD} more (--json tells all)")
    if verdict.bounds:
        grid = list(dict.fromkeys(bound.epsilon_label for bound in verdict.bounds))
        title = "robust accuracy, %: claimed / proved to be at most"
        table = Table("attack", *grid, title=title, title_justify="left")
        for name in dict.fromkeys(bound.attack for bound in verdict.bounds):
            mine = [bound for bound in verdict.bounds if bound.attack == name]
            cells = [f"{percent(bound.claimed)} / {percent(bound.at_most)}" for bound in mine]
            table.add_row(Text("worst case" if name is None else name), *cells)
        console.print(table)
    for line in _lines(verdict):
        say(f"  {line}")


def _lines(verdict: Verdict) -> list[str]:
    flipped = sum(marginal.flipped for marginal in verdict.marginals)
    lines = [f"{verdict.witnesses} witnesses judged again on {verdict.device} in {verdict.seconds:.1f} s"]
    if verdict.marginals:
        lines.append(f"{len(verdict.marginals)} predictions are marginal, of which {flipped} are others here (--json)")
    lines += [f"{note.level}: {note.check}: {note.message}" for note in verdict.notes]
    again: Any = verdict.replay
    claims = f"{verdict.survivors} facts say survived: claims, which no witness proves"
    if again is None:
        lines.append(f"{claims}; --replay 100 attacks some of them again")
        return lines
    lines.append(claims)
    luck = len(again.hits) - again.false
    lines.append(
        f"of {again.drawn} drawn from {again.population} (seed {again.seed}), {again.false} were false and {luck} broke"
        f" under some seeds: with 95 % confidence the recorded attacks, run once more, break at most"
        f" {100 * again.at_most:.2f} % of the survivors that were attacked"
    )
    return lines
