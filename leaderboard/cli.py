"""``harness leaderboard``, ``compare`` and ``gate``: parse and print; the work is done in the modules beside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.output import envelope, print_json
from harness.errors import UsageError
from harness.registry import Registry

_RESULTS = Path("results")
_SUFFIXES = {"tex": "latex", "markdown": "md"}


def leaderboard(
    results: Annotated[
        list[Path] | None, typer.Argument(help="Results folders or single runs (default: results).")
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option("--format", help="md, csv, json, latex or a plugin's (default: by the file's ending, or md)."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write instead of stdout.")] = None,
) -> int:
    """Rank measured models: a table for each threat model, data slice, suite, epsilon grid and mode."""
    render = Registry("renderers").load(format_ or _format_of(output))  # first: a typo is told at once

    from leaderboard.collect import collect
    from leaderboard.tables import make_tables

    text = render(make_tables(collect(results or [_RESULTS])))
    if output is None:
        typer.echo(text, nl=False)
    else:
        _write(output, text)
        typer.echo(output)
    return 0


def plot(
    results: Annotated[
        list[Path] | None, typer.Argument(help="Results folders or single runs (default: results).")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Picture to write: .png, .svg or .pdf.")] = Path(
        "curves.pdf"
    ),
    attack: Annotated[list[str] | None, typer.Option(help="Only this attack, or worst; repeatable.")] = None,
    data: Annotated[str | None, typer.Option(help="Only runs on this data set.")] = None,
    suite: Annotated[str | None, typer.Option(help="Only runs of this suite, NAME or NAME@VERSION.")] = None,
    mode: Annotated[str | None, typer.Option(help="Only runs in this mode.")] = None,
    steps: Annotated[bool, typer.Option("--steps", help="Accuracy against the number of steps.")] = False,
) -> int:
    """Draw security curves (accuracy against epsilon) with their intervals, for a paper."""
    from leaderboard.collect import collect
    from leaderboard.figure import Choice, figure
    from leaderboard.plots import check_ending, draw

    check_ending(output)
    choice = Choice(data, suite, mode, tuple(attack or ()), steps)
    panels, caption = figure(collect(results or [_RESULTS]), choice)
    draw(panels, output, caption)
    typer.echo(output)
    return 0


def compare(
    model_a: Annotated[
        str,
        typer.Argument(help="A measured model: its name, leaderboard label or run; 'a2s-*' for all seeds of a recipe."),
    ],
    model_b: Annotated[str, typer.Argument(help="The model, or recipe, to compare it with.")],
    results: Annotated[
        list[Path] | None, typer.Argument(help="Results folders or single runs (default: results).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with every sample that flips.")] = False,
) -> int:
    """Compare two models sample by sample: what flips, under which attack, and whether it could be chance."""
    from leaderboard.collect import collect
    from leaderboard.compare import as_data, as_markdown
    from leaderboard.compare import compare as run

    records = collect(results or [_RESULTS])
    if "*" in model_a or "*" in model_b:
        from leaderboard import seeds

        recipes = seeds.compare_seeds(records, model_a, model_b)
        if as_json:
            print_json(envelope("compare", {"seeds": seeds.as_data(recipes)}))
        else:
            typer.echo(seeds.as_markdown(recipes), nl=False)
        return 0
    found = run(records, model_a, model_b)
    if as_json:
        print_json(envelope("compare", {"comparisons": as_data(found)}))
    else:
        typer.echo(as_markdown(found), nl=False)
    return 0


def gate(
    require: Annotated[
        list[str], typer.Option(help="clean>=0.95, ATTACK@EPS>=0.45, worst@EPS>=0.6, no-regression:DIR; repeatable.")
    ],
    results: Annotated[
        list[Path] | None, typer.Argument(help="Results folders or single runs (default: results).")
    ] = None,
    confident: Annotated[
        bool, typer.Option("--confident", help="The lower end of the 95 % interval has to reach the figure.")
    ] = False,
    junit: Annotated[Path | None, typer.Option(help="Also write the verdicts to this file as JUnit XML.")] = None,
    github: Annotated[bool, typer.Option("--github", help="Also print GitHub annotations.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON.")] = False,
) -> int:
    """Judge runs by requirements; exit code 1 if one is not met."""
    from leaderboard import gate_report
    from leaderboard.collect import collect
    from leaderboard.gate import judge, parse

    requirements = [parse(text) for text in require]
    verdicts = judge(collect(results or [_RESULTS]), requirements, confident)
    passed = all(verdict.passed for verdict in verdicts)
    if junit is not None:
        _write(junit, gate_report.as_junit(verdicts))
    if github:
        # GitHub reads both streams; stdout stays valid JSON.
        typer.echo(gate_report.as_annotations(verdicts), nl=False, err=as_json)
    if as_json:
        print_json(envelope("gate", gate_report.as_data(verdicts, confident), ok=passed))
    else:
        typer.echo(gate_report.as_text(verdicts), nl=False)
    return 0 if passed else 1


def _format_of(output: Path | None) -> str:
    ending = output.suffix.removeprefix(".").lower() if output else ""
    name = _SUFFIXES.get(ending, ending)
    return name if name in Registry("renderers") else "md"


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be written: {error.strerror or error}; choose another file") from None
