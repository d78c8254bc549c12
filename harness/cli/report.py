"""How a run looks while it goes on, and the table at its end."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from harness.cli.output import percent
from harness.evidence import facts as fact
from harness.measure.worker import Done
from harness.run.job import Run


class LiveReport:
    """Progress, time left and robust accuracy so far, on stderr or in a notebook; elsewhere a plain line a minute."""

    def __init__(self, quiet: bool = False) -> None:
        # This very stream: while an attack runs, sys.stderr collects what it prints.
        self.console = Console(file=sys.stderr, quiet=quiet)
        self.interrupted = False
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("units"),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=self.console,
        )  # fmt: skip
        self._task: TaskID | None = None
        self._live: Live | None = None
        self._run: dict[str, Any] = {}
        self._counts: dict[tuple[str, str], list[int]] = {}
        self._said = time.monotonic()
        self._finished = self._total = 0

    def __enter__(self) -> LiveReport:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def started(self, run: dict[str, Any], total: int) -> None:
        """Show what is going to run."""
        self._run, self._total = run, total
        plan = run["plan"]
        self.console.print(
            f"{run['model']['name']} under {run['suite']['label']} ({run['mode']}) on {run['data']['name']},"
            f" n={run['data']['n']}, {plan['device']}, batch {plan['batch_size']}: {run['run']}",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
        self._task = self._progress.add_task("evaluating", total=total)
        # In a notebook rich needs ipywidgets to draw again in place.
        if self.console.is_terminal or (self.console.is_jupyter and find_spec("ipywidgets") is not None):
            self._live = Live(self._view(), console=self.console, refresh_per_second=4, transient=True)
            self._live.start()

    def finished(self, done: Done) -> None:
        """Count a unit in."""
        self._finished += 1
        if done.unit.attack != fact.CLEAN:
            self._count(done)
        if self._task is not None:
            self._progress.advance(self._task)
        if self._live is not None:
            self._live.update(self._view())
        elif time.monotonic() - self._said > 60:
            self._said = time.monotonic()
            self.console.print(f"{self._finished} of {self._total} units", highlight=False)

    def stop(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self.interrupted

    def _count(self, done: Done) -> None:
        whole = done.facts.filter(done.facts["component"].is_null())
        for label, outcome in zip(whole["epsilon_label"].to_pylist(), whole["outcome"].to_pylist(), strict=True):
            survived, n = self._counts.get((done.unit.attack, label), (0, 0))
            self._counts[done.unit.attack, label] = [survived + (outcome == "survived"), n + 1]

    def _view(self) -> Group:
        grid = self._run["suite"]["grid"]
        table = Table("attack", *grid, title="robust accuracy so far, %", title_justify="left")
        for attack in self._run["suite"]["attacks"]:
            counted = [self._counts.get((attack["id"], label), [0, 0]) for label in grid]
            table.add_row(Text(attack["id"]), *(f"{100 * s / n:.1f} (n={n})" if n else "…" for s, n in counted))
        return Group(table, self._progress)


@contextmanager
def interrupts(report: LiveReport) -> Iterator[None]:
    """The first Ctrl-C finishes the unit and stops, the second stops at once; units on disk stay in either case.

    SIGTERM, by which batch systems announce the end of a job, counts like Ctrl-C.
    """

    def pressed(_signal: int, _frame: object) -> None:
        if report.interrupted:
            raise KeyboardInterrupt
        report.interrupted = True
        report.console.print("finishing what is running, then stopping; Ctrl-C again stops at once")

    before = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, pressed)
    except ValueError:  # not the main thread: nobody presses Ctrl-C here
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def print_result(run: Run) -> None:
    """The result table on stdout: accuracies in percent with 95 % Wilson intervals, mode, tools and run folder."""
    summary = run.summary
    console = Console() if sys.stdout.isatty() else Console(width=160)
    grid = summary["grid"]
    clean = summary["clean"]
    console.print(
        f"{summary['model']} on {summary['data']}, n={summary['n']}:"
        f" clean accuracy {percent(clean['accuracy'], clean['ci95'])} %",
        markup=False, highlight=False,
    )  # fmt: skip
    table = Table(
        "attack", "tool", *(f"{summary['norm']} {label}" for label in grid),
        title=f"robust accuracy, % [95 % interval over images], suite {summary['suite']}, mode {summary['mode']}",
        title_justify="left",
    )  # fmt: skip
    attacks = {attack["id"]: attack for attack in run.info["suite"]["attacks"]}
    for name, attack in attacks.items():
        cells = {cell["epsilon_label"]: cell for cell in summary["cells"] if cell["attack"] == name}
        shown = [_cell(cells.get(label)) for label in grid]
        table.add_row(Text(name), f"{attack['tool']} {attack['tool_version'] or 'not installed'}", *shown)
    worst = {row["epsilon_label"]: row for row in summary["worst_case"]}
    if len(attacks) > 1:
        rows = [worst.get(label, {}) for label in grid]
        table.add_row("worst case", "", *(percent(r.get("robust_accuracy"), r.get("ci95")) for r in rows))
    console.print(table)
    if summary["mode"] == "worst-case":
        taken = sum(cell.get("transferred", 0) for cell in summary["cells"])
        console.print(
            "mode worst-case: attacks are not run on what others broke, so only the worst case is a result; an attack's"
            f" row is the union of it and those above it ({taken:,} witnesses taken over)",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
    if summary["mode"] == "bisection":
        implied = sum(cell.get("implied", 0) for cell in summary["cells"])
        console.print(
            f"mode bisection: {implied:,} survivals are implied by one at a larger epsilon and were not attacked; at"
            " the smaller epsilons the attack had fewer chances than in mode observed",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
    for finding in summary["findings"]:
        console.print(f"{finding['level']}: {finding['check']}: {finding['message']}", markup=False, highlight=False)
    forwards = sum(cell["forwards"] for cell in summary["cells"])
    backwards = sum(cell["backwards"] for cell in summary["cells"])
    console.print(
        f"{forwards:,} forwards, {backwards:,} backwards{_useful(summary, backwards)}, {summary['seconds']:.1f} s"
        f"{_memory(summary)} on {run.info['device']['name']};"
        f" grade {summary['grade'] or '–'}; evidence in {summary['run']}",
        markup=False, highlight=False,
    )  # fmt: skip


def _useful(summary: dict[str, Any], backwards: int) -> str:
    """The share of backward passes that could change a result, where it is known of all cells."""
    shares = [(cell.get("useful_gradients"), cell["backwards"]) for cell in summary["cells"] if cell["backwards"]]
    if not backwards or any(share is None for share, _ in shares):
        return ""
    return f" ({100 * sum(share * count for share, count in shares) / backwards:.1f} % useful)"


def _memory(summary: dict[str, Any]) -> str:
    peaks = [cell["peak_memory"] for cell in summary["cells"] if cell.get("peak_memory") is not None]
    return f", peak memory {max(peaks) / 2**30:.2f} GiB" if peaks else ""


def _cell(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return "missing"
    if cell["status"] != "ok":
        return str(cell["status"])
    return percent(cell["robust_accuracy"], cell["ci95"])
