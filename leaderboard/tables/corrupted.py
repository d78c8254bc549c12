"""Errors under corruptions in units of a baseline's: the mean corruption error of Hendrycks and Dietterich (2019)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from leaderboard.rows import Row, Table


def with_baseline(table: Table, name: str | None) -> Table:
    """The table with every row's `relative` error, if it is of corruptions and has the baseline's row.

    Args:
        table: The table.
        name: Label of the baseline's row; None leaves the table as it is.
    """
    base = next((row for row in table.rows if row.label == name), None)
    if base is None or table.threat != "corruption":
        return table
    kinds = [column.attack for column in table.attacks]
    rows = tuple(replace(row, relative=relative_error(row, base, kinds)) for row in table.rows)
    return replace(table, rows=rows, baseline=base.label)


def relative_error(row: Row, base: Row, kinds: Sequence[str]) -> float | None:
    """The mean over kinds of a row's errors, summed over severities, divided by the baseline's.

    None while cells are missing, or where the baseline makes no error.
    """
    ratios = []
    for kind in kinds:
        mine, theirs = _error(row, kind), _error(base, kind)
        if mine is None or not theirs:
            return None
        ratios.append(mine / theirs)
    return float(np.mean(ratios)) if ratios else None


def kind_accuracy(row: Row, kind: str) -> float | None:
    """The mean over severities of the accuracy under one kind; None while cells are missing."""
    shares = [score.accuracy for score in row.cells if score.attack == kind]
    known = [share for share in shares if share is not None]
    return float(np.mean(known)) if known and len(known) == len(shares) else None


def overall(row: Row) -> float | None:
    """The mean over kinds and severities; None while cells are missing."""
    shares = [score.accuracy for score in row.worst]
    known = [share for share in shares if share is not None]
    return float(np.mean(known)) if known and len(known) == len(shares) else None


def kept(row: Row) -> float | None:
    """The mean over kinds and severities of what is kept of the images that are right clean."""
    shares = [score.kept_share for score in row.worst]
    known = [share for share in shares if share is not None]
    return float(np.mean(known)) if known and len(known) == len(shares) else None


def _error(row: Row, kind: str) -> float | None:
    right = kind_accuracy(row, kind)
    return None if right is None else 1 - right
