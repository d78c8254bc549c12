"""``harness leaderboard``, ``show`` and ``plot``: parse and print; the work is done in the modules beside."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import EXIT_DONE, EXIT_MISSING
from harness.cli.output import waiting, write_text
from harness.errors import BadRun, UsageError
from harness.inputs.registry import Registry
from leaderboard.options import (
    AttackOption,
    BoardOption,
    DataOption,
    JoinedOption,
    ModeOption,
    NumberOption,
    SuiteOption,
)
from leaderboard.reading import places, read_records, tell_claims, tell_skipped, verified

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leaderboard.compare.gate import Ruling
    from leaderboard.runs.record import Record

_SUFFIXES = {"tex": "latex", "markdown": "md"}


def leaderboard(
    results: Annotated[
        list[Path] | None, typer.Argument(help="Results folders or single runs (default: results).")
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format", help="md, html, csv, json, latex or a plugin's (default: by the file's ending, or md)."
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write instead of stdout.")] = None,
    pictures: Annotated[
        int, typer.Option(min=0, help="Pictures of what broke on each model's page (html, --publish); 0 for none.")
    ] = 6,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder with local copies of data sets (or HARNESS_DATA), for the pictures.")
    ] = None,
    publish: Annotated[
        Path | None, typer.Option(help="Write every complete run as a small file into this folder instead.")
    ] = None,
    claims: Annotated[
        bool, typer.Option("--claims", help="Rank published files, too, that no board.toml lists.")
    ] = False,
    verified_only: Annotated[
        bool, typer.Option("--verified-only", help="Leave out what was not replayed here or is on no board.")
    ] = False,
    suite: SuiteOption = None,
    data: DataOption = None,
    n: NumberOption = None,
    mode: ModeOption = None,
    attack: AttackOption = None,
    joined: JoinedOption = None,
    baseline: Annotated[
        str | None, typer.Option(help="Model whose errors under corruptions are the unit of the others'.")
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(help="latex: rank,model,clean,worst,pgd-20@8/255,... or all (default: what fits a column)."),
    ] = None,
    no_intervals: Annotated[bool, typer.Option("--no-intervals", help="latex: the numbers alone.")] = False,
    board: BoardOption = None,
    title: Annotated[str | None, typer.Option(help="html: what the page is called.")] = None,
    verdict: Annotated[
        Path | None, typer.Option(help="html: what harness gate --json printed, to stand above the tables.")
    ] = None,
) -> int:
    """Rank measured models: a table for each threat model, data slice, suite, epsilon grid and mode."""
    chosen = format_ or _format_of(output)
    render = Registry("renderers").load(chosen)  # first: a typo is told at once
    if chosen == "latex":
        render = partial(render, columns=_columns(columns, attack or ()), intervals=not no_intervals)
    elif columns is not None or no_intervals:
        raise UsageError(f"--columns and --no-intervals are for --format latex, not {chosen}; leave them out")
    if chosen != "html" and (title is not None or verdict is not None):
        raise UsageError(f"--title and --verdict are for --format html, not {chosen}; leave them out")

    from leaderboard.tables.tables import make_tables, with_attacks

    if publish is not None and (format_ or output):
        raise UsageError("--publish writes files of its own; leave out --format and --output")
    if publish is not None and joined:
        raise UsageError("--publish writes runs, and whoever reads them joins them again; leave out --joined")
    if publish is not None and attack:
        raise UsageError("--publish writes whole runs; leave out --attack")
    with waiting("reading runs"):
        skipped: list[BadRun] = []
        folders, boards = places(results, [*(board or ()), *([publish] if publish else ())])
        records = read_records(
            folders, skipped, boards, suite, data, n, mode, attack, False if publish is not None else joined
        )
        if verified_only:
            records = verified(records)
        if pictures and (chosen == "html" or publish is not None):
            records = _with_pictures(records, pictures, data_root)
    code = tell_skipped(skipped)
    tell_claims(records, boards)
    if publish is not None:
        return max(code, _publish(records, publish))
    if chosen == "html":
        render = partial(render, title=title or "", verdicts=_verdicts(verdict, records))
    with waiting("rendering"):
        text = render([with_attacks(table, attack or ()) for table in make_tables(records, claims, baseline)])
    if output is None:
        # A page names its encoding itself, so that is what it is written in, whatever the terminal's is.
        typer.echo(text.encode() if chosen == "html" and not sys.stdout.isatty() else text, nl=False)
    else:
        write_text(output, text)
        typer.echo(output)
    return code


def _columns(text: str | None, attacks: Sequence[str]) -> tuple[str, ...]:
    """Names of the columns that are asked for; attacks that are stand beside those that always do."""
    if text is None:
        return ("rank", "model", "clean", *attacks) if attacks else ()
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise UsageError(f"--columns {text!r} has a name that is empty; write for instance rank,model,clean,worst")
    return names


def _verdicts(path: Path | None, records: Sequence[Record]) -> list[Ruling] | None:
    if path is None:
        return None
    from leaderboard.compare.gate_report import read

    return read(path, {record.folder.name for record in records})


def _with_pictures(records: list[Record], count: int, root: Path | None) -> list[Record]:
    from harness.trust.verify.subjects import Subjects
    from leaderboard.figures.gallery import with_pictures

    subjects = Subjects(root=root)
    return [record if record.joined is not None else with_pictures(record, count, subjects) for record in records]


def _publish(records: list[Record], folder: Path) -> int:
    from leaderboard.site import publish

    done = publish(records, folder)
    for path in done.written:
        typer.echo(path)
    for path in done.claims:
        typer.echo(
            f"published as a claim, for it was not replayed here: {path}; `harness verify RUN --replay 100`", err=True
        )
    for record, why in done.left_out:
        typer.echo(f"not published, for {why}: {record.folder}", err=True)
    return EXIT_MISSING if done.left_out else EXIT_DONE


def show(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Picture to write (.png).")] = Path("gallery.png"),
    pictures: Annotated[int, typer.Option(min=1, max=100, help="How many images that broke.")] = 8,
    model: Annotated[
        str | None, typer.Option(help="Where the run's model is, if it is no installed name; as for eval.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Where the run's data are; as for eval.")] = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder with local copies of data sets.")] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Also draw data whose card does not allow it: for your own eyes.")
    ] = False,
) -> int:
    """Draw what broke: clean image, magnified perturbation, adversarial image; of corruptions one sample under all."""
    from harness.trust.verify.subjects import Subjects
    from leaderboard.figures.gallery import may_be_shown
    from leaderboard.figures.gallery import pictures as find
    from leaderboard.figures.gallery_figure import draw_gallery
    from leaderboard.runs.collect import read_run

    if output.suffix.lower() != ".png":
        raise UsageError(f"{str(output)!r} does not end with .png; galleries are PNG")
    record = read_run(run)
    name = str(record.info.data.name)
    if not private and not may_be_shown(name):
        raise UsageError(f"images of {name!r} are not shown: its card does not say pictures = true; see --private")
    if record.info.suite.threat == "corruption":
        from leaderboard.figures.contact_sheet import draw_sheet

        _, samples = Subjects([model] if model else [], [data] if data else [], data_root).of(record.info)
        kinds, levels = [attack.id for attack in record.info.suite.attacks], record.info.suite.grid
        draw_sheet(samples, int(record.sample_ids[0]), kinds, [int(level.value) for level in levels], output)
        typer.echo(output)
        return 0
    found = find(record, pictures, Subjects([model] if model else [], [data] if data else [], data_root))
    if not found:
        raise UsageError(f"run {run} keeps no witness: nothing broke, or it was measured with --witnesses none")
    draw_gallery(found, record, output)
    typer.echo(output)
    return 0


def plot(
    results: Annotated[
        list[Path] | None, typer.Argument(help="Results folders or single runs (default: results).")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Picture to write: .png, .svg or .pdf.")] = Path(
        "curves.pdf"
    ),
    suite: SuiteOption = None,
    data: DataOption = None,
    n: NumberOption = None,
    mode: ModeOption = None,
    attack: AttackOption = None,
    joined: JoinedOption = None,
    board: BoardOption = None,
    steps: Annotated[bool, typer.Option("--steps", help="Accuracy against the number of steps.")] = False,
) -> int:
    """Draw security curves (accuracy against epsilon) with their intervals, for a paper."""
    from leaderboard.figures.choose import figure
    from leaderboard.figures.plots import check_ending, draw

    check_ending(output)
    skipped: list[BadRun] = []
    folders, boards = places(results, board)
    records = read_records(folders, skipped, boards, suite, data, n, mode, attack, joined)
    tell_claims(records, boards)
    panels, caption = figure(records, attack or (), steps)
    draw(panels, output, caption)
    typer.echo(output)
    return tell_skipped(skipped)


def _format_of(output: Path | None) -> str:
    ending = output.suffix.removeprefix(".").lower() if output else ""
    name = _SUFFIXES.get(ending, ending)
    return name if name in Registry("renderers") else "md"
