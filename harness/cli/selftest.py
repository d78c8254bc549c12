"""``harness selftest``: does the harness catch what it should, leave alone what is sound, and break masks?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.base.text import percent
from harness.cli.output import envelope, print_json

if TYPE_CHECKING:
    from harness.testing.selftest import Outcome
    from harness.testing.selftest.randomized import Kept
    from harness.testing.selftest.recovery import Recovery


def selftest(
    only: Annotated[
        list[str] | None,
        typer.Option(help="Name of an example, a mask or a randomized model; repeatable. Default: all."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Evaluate broken defenses, sound models, masks and randomized models; exits 1 where the harness is wrong."""
    from rich.console import Console
    from rich.progress import track

    from harness.testing.selftest import choose, run
    from harness.testing.selftest.randomized import keep
    from harness.testing.selftest.recovery import recover

    examples, masks, drawing = choose(only or ())
    console = Console(stderr=True)
    quiet = not console.is_terminal
    outcomes = list(track(run(examples), "self-test", len(examples), console=console, disable=quiet))
    recovered = list(track(recover(masks), "masks", len(masks), console=console, disable=quiet))
    kept = list(track(keep(drawing), "randomized", len(drawing), console=console, disable=quiet))
    results: list[Outcome | Recovery | Kept] = [*outcomes, *recovered, *kept]
    ok = all(result.ok for result in results)
    if as_json:
        wrong = [result.finding() for result in results if not result.ok]
        print_json(envelope("selftest", _data(outcomes) | _masks(recovered) | _randomized(kept), ok, wrong))
    else:
        if outcomes:
            _print(outcomes)
        if recovered:
            _print_masks(recovered)
        if kept:
            _print_randomized(kept)
        _print_wrong(results)
    return 0 if ok else 1


def _masks(recovered: list[Recovery]) -> dict[str, Any]:
    return {
        "masks_broken": sum(one.broken for one in recovered),
        "masks": [one.as_dict() for one in recovered],
    }


def _print_masks(recovered: list[Recovery]) -> None:
    import sys

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False) if sys.stdout.isatty() else Console(width=160, highlight=False)
    table = Table(
        "mask", "what it is", "masked, %", "adapted, %", "true, %", "recovered, %", "adapted attacks", "verdict"
    )
    for one in recovered:
        name = f"{one.mask.name} *" if one.mask.apart else one.mask.name
        verdict = Text("broken" if one.broken else "stands", style="" if one.broken else "bold red")
        table.add_row(
            name, one.mask.about, percent(one.masked), percent(one.adapted), percent(one.true), percent(one.score),
            str(len(one.tried)), verdict,
        )  # fmt: skip
    console.print(table)
    console.print(
        f"{sum(one.broken for one in recovered)} of {len(recovered)} masks broken (90 % of the hidden points or more);"
        f" * of a kind no rule names; {sum(one.seconds for one in recovered):.1f} s, adapted attacks"
        f" {sum(one.more for one in recovered):.1f} s"
    )


def _randomized(kept: list[Kept]) -> dict[str, Any]:
    return {"randomized": [one.as_dict() for one in kept]}


def _print_randomized(kept: list[Kept]) -> None:
    import sys

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False) if sys.stdout.isatty() else Console(width=160, highlight=False)
    table = Table("randomized", "what it is", "majority, %", "at 1e-5, %", "asked once, %", "P5 then", "verdict")
    for one in kept:
        verdict = Text("measured" if one.ok else "wrong", style="" if one.ok else "bold red")
        shares = (percent(share) for share in (one.clean, one.robust, one.once))
        table.add_row(one.model.name, one.model.about, *shares, "objects" if one.flagged else "silent", verdict)
    console.print(table)


def _print_wrong(results: Sequence[Outcome | Recovery | Kept]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for result in results:
        if not result.ok:
            console.print(Text(f"error: {result.finding().message}", style="bold red"), soft_wrap=True)


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
