"""``harness compare`` and ``gate``: parse and print; the work is done in the modules beside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.output import envelope, print_json, write_text
from harness.errors import BadRun, UsageError
from leaderboard.options import (
    AttackOption,
    BoardOption,
    DataOption,
    JoinedOption,
    ModeOption,
    NumberOption,
    SuiteOption,
)
from leaderboard.reading import places, read_records, tell_claims, tell_skipped


def compare(
    model_a: Annotated[
        str,
        typer.Argument(
            help="A measured model: its name, leaderboard label or run; 'a2s-s*' for all seeds of a recipe."
        ),
    ],
    model_b: Annotated[str, typer.Argument(help="The model, or recipe, to compare it with.")],
    results: Annotated[
        list[Path] | None, typer.Argument(help="Results folders or single runs (default: results).")
    ] = None,
    suite: SuiteOption = None,
    data: DataOption = None,
    n: NumberOption = None,
    mode: ModeOption = None,
    attack: AttackOption = None,
    joined: JoinedOption = None,
    board: BoardOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with every sample that flips.")] = False,
) -> int:
    """Compare two models sample by sample: what flips, under which attack, and whether it could be chance."""
    from leaderboard.compare.models import as_data, as_markdown
    from leaderboard.compare.models import compare as run

    skipped: list[BadRun] = []
    recipes_wanted = bool(set("*?") & {*model_a, *model_b})
    if recipes_wanted and joined:
        raise UsageError("recipes are compared by runs, not by estimates; leave out --joined")
    folders, boards = places(results, board)
    records = read_records(folders, skipped, boards, suite, data, n, mode, attack, False if recipes_wanted else joined)
    code = tell_skipped(skipped)
    tell_claims(records, boards)
    if recipes_wanted:
        from leaderboard.compare import recipes

        found_recipes = recipes.compare_seeds(records, model_a, model_b, attack or ())
        if as_json:
            print_json(envelope("compare", {"seeds": recipes.as_data(found_recipes)}))
        else:
            typer.echo(recipes.as_markdown(found_recipes), nl=False)
        return code
    found = run(records, model_a, model_b, attack or ())
    if as_json:
        print_json(envelope("compare", {"comparisons": as_data(found)}))
    else:
        typer.echo(as_markdown(found), nl=False)
    return code


def gate(
    require: Annotated[
        list[str],
        typer.Option(
            help="clean>=0.95, ATTACK@EPS>=0.45, worst@EPS>=0.6, mean@3>=0.5, grade>=B, no-regression:DIR; repeatable."
        ),
    ],
    results: Annotated[
        list[Path] | None, typer.Argument(help="Results folders or single runs (default: results).")
    ] = None,
    confident: Annotated[
        bool, typer.Option("--confident", help="The lower end of the 95 % interval has to reach the figure.")
    ] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="Accept findings of level error of this check, for instance P7; repeatable."),
    ] = None,
    every_run: Annotated[
        bool, typer.Option("--every-run", help="Judge every run, not only the newest of each model.")
    ] = False,
    board: BoardOption = None,
    junit: Annotated[Path | None, typer.Option(help="Also write the verdicts to this file as JUnit XML.")] = None,
    github: Annotated[bool, typer.Option("--github", help="Also print GitHub annotations.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON.")] = False,
) -> int:
    """Judge runs by requirements; exit code 1 if one is not met."""
    from leaderboard.compare import gate_report
    from leaderboard.compare.gate import judge
    from leaderboard.compare.requirements import parse
    from leaderboard.runs.collect import collect

    requirements = [parse(text) for text in require]
    folders, boards = places(results, board)
    records = collect(folders, boards=boards)
    tell_claims(records, boards)
    verdicts = judge(records, requirements, confident, allow=allow or (), every_run=every_run, boards=board or ())
    passed = all(verdict.passed for verdict in verdicts)
    if junit is not None:
        write_text(junit, gate_report.as_junit(verdicts))
    if github:
        # GitHub reads both streams; stdout stays valid JSON.
        typer.echo(gate_report.as_annotations(verdicts), nl=False, err=as_json)
    if as_json:
        print_json(envelope("gate", gate_report.as_data(verdicts, confident), ok=passed))
    else:
        typer.echo(gate_report.as_text(verdicts), nl=False)
    return 0 if passed else 1
