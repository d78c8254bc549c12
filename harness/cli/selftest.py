"""``harness selftest``: does the harness catch what it should, and leave alone what is sound?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.base.text import percent
from harness.cli.output import envelope, print_json

if TYPE_CHECKING:
    from harness.testing.selftest import Outcome


def selftest(
    only: Annotated[list[str] | None, typer.Option(help="Name of an example; repeatable. Default: all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Evaluate broken defenses and sound models; exits 1 if one is missed, or falsely alarmed about."""
    from rich.console import Console
    from rich.progress import track

    from harness.testing.selftest import choose, run

    examples = choose(only or ())
    console = Console(stderr=True)
    steps = track(run(examples), "self-test", len(examples), console=console, disable=not console.is_terminal)
    outcomes = list(steps)
    ok = all(outcome.ok for outcome in outcomes)
    if as_json:
        wrong = [outcome.finding() for outcome in outcomes if not outcome.ok]
        print_json(envelope("selftest", _data(outcomes), ok, wrong))
    else:
        _print(outcomes)
    return 0 if ok else 1


def _data(outcomes: list[Outcome]) -> dict[str, Any]:
    by_verdict: dict[str, list[str]] = {"caught": [], "missed": [], "left alone": [], "false alarm": []}
    for outcome in outcomes:
        by_verdict[outcome.verdict].append(outcome.example.name)
    return {
        "caught": len(by_verdict["caught"]),
        "missed": by_verdict["missed"],
        "left_alone": len(by_verdict["left alone"]),
        "false_alarms": by_verdict["false alarm"],
        "seconds": round(sum(outcome.seconds for outcome in outcomes), 3),
        "examples": [outcome.as_dict() for outcome in outcomes],
    }


def _print(outcomes: list[Outcome]) -> None:
    import sys

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False) if sys.stdout.isatty() else Console(width=160, highlight=False)
    table = Table("example", "what it is", "must object", "objected", "clean, %", "worst case, %", "grade", "verdict")
    for outcome in outcomes:
        example = outcome.example
        words = " ".join(outcome.said) + (" (refused)" if outcome.refused else "")
        verdict = Text(outcome.verdict, style="" if outcome.ok else "bold red")
        table.add_row(
            example.name, example.about, " ".join(example.expects) or "nothing", words or "nothing",
            percent(outcome.clean), percent(outcome.worst), outcome.grade or "–", verdict,
        )  # fmt: skip
    console.print(table)
    data = _data(outcomes)
    broken = data["caught"] + len(data["missed"])
    sound = data["left_alone"] + len(data["false_alarms"])
    console.print(
        f"{broken} broken: {data['caught']} caught, {len(data['missed'])} missed; {sound} sound:"
        f" {len(data['false_alarms'])} false alarms; {data['seconds']:.1f} s"
    )
    for outcome in outcomes:
        if not outcome.ok:
            console.print(Text(f"error: {outcome.finding().message}", style="bold red"), soft_wrap=True)
