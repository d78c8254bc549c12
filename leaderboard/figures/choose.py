"""Which curves `harness plot` draws: one table's, so that a figure never mixes what cannot be compared."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import UsageError
from leaderboard import wording
from leaderboard.figures.curves import caption, security_panels, step_panels
from leaderboard.figures.plots import Panel
from leaderboard.rows import WORST, Table
from leaderboard.runs.chosen import check_attacks
from leaderboard.runs.record import Record
from leaderboard.tables.tables import make_tables


def figure(records: Sequence[Record], attacks: Sequence[str] = (), steps: bool = False) -> tuple[list[Panel], str]:
    """The panels, and a caption that says what the bands are and what was measured.

    Args:
        records: Runs of one table.
        attacks: Attack ids, ``worst`` among them; empty draws all.
        steps: Accuracy against steps instead of epsilon.

    Raises:
        UsageError: the runs are of several tables (their headings are named), or there is no complete cell to draw.
        UnknownName: the table has no such attack.
    """
    table = _the_table(make_tables(records))
    check_attacks(attacks, [column.attack for column in table.attacks])
    if steps and WORST in attacks:
        raise UsageError("the worst case has no number of steps; give --steps with attacks, or without --attack")
    panels = step_panels(table, attacks) if steps else security_panels(table, attacks)
    if not panels:
        what = "attacks that differ in their steps alone" if steps else "complete cells"
        raise UsageError(f"{wording.titles([table])[0]} has no {what} to draw")
    return panels, caption(table, wording.titles([table])[0])


def _the_table(tables: Sequence[Table]) -> Table:
    if len(tables) == 1:
        return tables[0]
    raise UsageError(
        f"{len(tables)} tables fit, which cannot share a figure: {'; '.join(wording.titles(tables))}; choose one with"
        " --data, --suite, --n, --mode, --joined or --no-join, or name fewer folders"
    )
