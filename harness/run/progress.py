"""What a person sees while a run goes on: reporters, the live display, and keys that stop it."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import TracebackType
from typing import Protocol

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

from harness.base.text import in_words
from harness.evidence.facts import CLEAN
from harness.evidence.run_info import RunInfo
from harness.evidence.suite_label import shown_label
from harness.measure.done import Done


class LiveReport:
    """Progress, time left and robust accuracy so far, on stderr or in a notebook with ipywidgets.

    Elsewhere plain lines: one a minute in a log, one every ten seconds and one at the end in a notebook.
    """

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
        self._starting = self.console.status("loading and checking the model")
        self._info: RunInfo | None = None
        self._counts: dict[tuple[str, str], list[int]] = {}
        self._begun = self._said = time.monotonic()
        self._patience = 10 if self.console.is_jupyter else 60  # a log is read later, a notebook now
        self._finished = self._total = 0

    def __enter__(self) -> LiveReport:
        if self.console.is_terminal:
            self._starting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._starting.stop()
        if self._live is not None:
            self._live.stop()

    def started(self, info: RunInfo, total: int) -> None:
        """Show what is going to run."""
        self._starting.stop()
        self._info, self._total = info, total
        plan = info.planned
        self.console.print(
            f"{info.model.name} under {shown_label(info)} ({info.mode}) on {info.data.name},"
            f" n={info.data.n}, {plan.device}, batch {plan.batch_size}: {info.run}",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
        self._task = self._progress.add_task("evaluating", total=total)
        # In a notebook rich needs ipywidgets to draw again in place.
        if self.console.is_terminal or (self.console.is_jupyter and find_spec("ipywidgets") is not None):
            self._live = Live(self._view(), console=self.console, refresh_per_second=4, transient=True)
            self._live.start()

    def grown(self, total: int) -> None:
        """More is going to run."""
        self._total = total
        if self._task is not None:
            self._progress.update(self._task, total=total)

    def finished(self, done: Done) -> None:
        """Count a unit in."""
        self._finished += 1
        if done.unit.attack != CLEAN:
            self._count(done)
        if self._task is not None:
            self._progress.advance(self._task)
        if self._live is not None:
            self._live.update(self._view())
        elif time.monotonic() - self._said > self._patience or (
            self.console.is_jupyter and self._finished == self._total
        ):
            self._said = time.monotonic()
            passed = in_words(self._said - self._begun)
            self.console.print(f"{self._finished} of {self._total} units after {passed}", highlight=False)

    def say(self, line: str) -> None:
        """Print a line, whole."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def stop(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self.interrupted

    def _count(self, done: Done) -> None:
        whole = done.facts.filter(done.facts["component"].is_null())
        for label, outcome in zip(whole["epsilon_label"].to_pylist(), whole["outcome"].to_pylist(), strict=True):
            survived, n = self._counts.get((done.unit.attack, label), (0, 0))
            self._counts[done.unit.attack, label] = [survived + (outcome == "survived"), n + 1]

    def _view(self) -> Group:
        suite = None if self._info is None else self._info.suite
        grid = () if suite is None else suite.labels
        table = Table("attack", *grid, title="robust accuracy so far, %", title_justify="left")
        for attack in () if suite is None else suite.attacks:
            counted = [self._counts.get((attack.id, label), [0, 0]) for label in grid]
            table.add_row(Text(attack.id), *(f"{100 * s / n:.1f} (n={n})" if n else "…" for s, n in counted))
        return Group(table, self._progress)


class Reporter(Protocol):
    """Told how a run goes on; the command line shows it."""

    def started(self, info: RunInfo, total: int) -> None:
        """The run is resolved and has `total` units."""

    def grown(self, total: int) -> None:
        """Another round: the run has `total` units now."""

    def finished(self, done: Done) -> None:
        """A unit is on disk; ``done.result`` is None if it was there before."""

    def say(self, line: str) -> None:
        """What a person has to know of where the numbers come from."""

    def stop(self) -> bool:
        """Whether to stop before the next unit."""
        return False


class Silent:
    """Reports nothing and never stops."""

    def started(self, info: RunInfo, total: int) -> None:
        """Ignored."""

    def grown(self, total: int) -> None:
        """Ignored."""

    def finished(self, done: Done) -> None:
        """Ignored."""

    def say(self, line: str) -> None:
        """Ignored."""

    def stop(self) -> bool:
        """Never."""
        return False


class Lines(Silent):
    """No progress; only where the numbers come from, if not from this very start, on standard error."""

    def __init__(self) -> None:
        self.interrupted = False

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None: ...

    def say(self, line: str) -> None:
        """Print the line."""
        print(line, file=sys.stderr)

    def stop(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self.interrupted


@contextmanager
def interrupts(report: LiveReport | Lines) -> Iterator[None]:
    """The first Ctrl-C finishes the running call of a tool and stops, the second stops at once; what is on disk stays.

    SIGTERM, by which batch systems announce the end of a job, counts like Ctrl-C.
    """

    def pressed(_signal: int, _frame: object) -> None:
        if report.interrupted:
            raise KeyboardInterrupt
        report.interrupted = True
        report.say("finishing what is running, then stopping; Ctrl-C again stops at once")

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
            if handler is not None:  # one that Python did not install cannot be put back
                signal.signal(number, handler)
