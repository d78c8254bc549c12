"""Which curves `harness plot` draws: one table's, so that a figure never mixes what cannot be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import UnknownName, UsageError
from leaderboard import wording
from leaderboard.figures.curves import security_panels, step_panels
from leaderboard.figures.plots import Panel
from leaderboard.rows import WORST, Table
from leaderboard.runs.record import Record
from leaderboard.tables.tables import make_tables


@dataclass(frozen=True)
class Choice:
    """What to draw; None leaves it open."""

    data: str | None = None
    suite: str | None = None
    """``NAME`` or ``NAME@VERSION``."""
    mode: str | None = None
    attacks: tuple[str, ...] = ()
    """Attack ids, ``worst`` among them; empty draws all."""
    steps: bool = False
    """Accuracy against steps instead of epsilon."""

    def fits(self, table: Table) -> bool:
        """Whether the table is one of those chosen."""
        suites = (None, table.suite, table.suite.partition("@")[0])
        return self.data in (None, table.data) and self.suite in suites and self.mode in (None, table.mode)


def figure(records: Sequence[Record], choice: Choice) -> tuple[list[Panel], str]:
    """The panels, and a caption that says what the bands are and what was measured.

    Raises:
        UsageError: no table fits, several do (their headings are named), or there is no complete cell to draw.
        UnknownName: the table has no such attack.
    """
    table = _the_table(make_tables(records), choice)
    for name in choice.attacks:
        known = {column.attack for column in table.attacks} | {WORST}
        if name not in known:
            raise UnknownName("attack", name, known)
    if choice.steps and WORST in choice.attacks:
        raise UsageError("the worst case has no number of steps; give --steps with attacks, or without --attack")
    panels = step_panels(table, choice.attacks) if choice.steps else security_panels(table, choice.attacks)
    if not panels:
        what = "attacks that differ in their steps alone" if choice.steps else "complete cells"
        raise UsageError(f"{wording.titles([table])[0]} has no {what} to draw")
    return panels, f"{wording.titles([table])[0]}, n = {table.n:,}. Bands: 95 % Wilson intervals over images."


def _the_table(tables: Sequence[Table], choice: Choice) -> Table:
    names = wording.titles(tables)
    fitting = [(name, table) for name, table in zip(names, tables, strict=True) if choice.fits(table)]
    if len(fitting) == 1:
        return fitting[0][1]
    listed = "; ".join(name for name, _ in fitting or zip(names, tables, strict=True))
    what = f"{len(fitting)} tables fit, which cannot share a figure" if fitting else "no table fits"
    raise UsageError(f"{what}: {listed}; choose one with --data, --suite, --mode, or name fewer folders")
