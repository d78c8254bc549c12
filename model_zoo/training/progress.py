"""Progress of a training: a rich bar on a terminal, plain lines in a log."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

LOG_EVERY_SECONDS = 60.0


class Progress:
    """Reports steps and epochs to `console` (standard error by choice of the caller); silent if it is None."""

    def __init__(self, console: Console | None, epochs: int = 0, title: str = "") -> None:
        self._console = console
        self._epochs = epochs
        self._title = title
        self._bars: Bars | None = None
        self._task: Any = None
        self._figures = ""
        self._last = time.monotonic()

    def __enter__(self) -> Progress:
        if self._console is not None and self._console.is_terminal:
            self._bars = Bars(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[figures]}"),
                console=self._console,
            )
            self._task = self._bars.add_task(self._title, total=None, figures="")
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    @contextmanager
    def phase(self, title: str, epochs: int) -> Iterator[Progress]:
        """Within the block, another training with its own number of epochs is reported under `title`."""
        before = self._title, self._epochs, self._figures
        self._begin(title, epochs)
        try:
            yield self
        finally:
            self._begin(*before)

    def _begin(self, title: str, epochs: int, figures: str = "") -> None:
        self._title, self._epochs, self._figures = title, epochs, figures
        if self._bars is not None:
            self._bars.reset(self._task, description=title, total=None, figures=figures)

    def say(self, text: str) -> None:
        """One line."""
        if self._console is not None:
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def resumed(self, epoch: int, batch: int) -> None:
        """Training goes on from a checkpoint."""
        self.say(f"{self._title}: going on after {epoch} epochs and {batch} batches")

    def step(self, epoch: int, batch: int, batches: int, loss: float) -> None:
        """One batch is done; `loss` is the epoch's mean so far."""
        if self._bars is not None:
            figures = f"loss {loss:.3f}  {self._figures}"
            self._bars.update(
                self._task, completed=epoch * batches + batch, total=self._epochs * batches, figures=figures
            )
        elif self._console is not None and time.monotonic() - self._last >= LOG_EVERY_SECONDS:
            self._last = time.monotonic()
            self.say(f"{self._title}: epoch {epoch + 1}/{self._epochs}, batch {batch}/{batches}, loss {loss:.4f}")

    def epoch(self, row: Mapping[str, float]) -> None:
        """One epoch is done; `row` is its line of the history."""
        shown = {k: v for k, v in row.items() if k not in ("epoch", "loss", "seconds")}
        self._figures = "  ".join(f"{k} {100 * v:.1f} %" for k, v in shown.items() if "/" not in k)
        if self._console is not None:
            details = "  ".join(f"{k} {100 * v:.2f} %" for k, v in shown.items())
            minutes = row["seconds"] / 60
            self.say(
                f"{self._title}: epoch {int(row['epoch'])}/{self._epochs} done after {minutes:.1f} min:"
                f" loss {row['loss']:.4f}  {details}"
            )
