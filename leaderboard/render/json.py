"""Tables as JSON: everything the other formats show but pictures, with full names and unrounded numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from harness.cli.output import envelope
from leaderboard.rows import WORST, Row, Score, Table


def render(tables: Sequence[Table]) -> str:
    """The leaderboard in the envelope that every ``--json`` of the command line prints."""
    data = {"tables": [table_data(table) for table in tables]}
    return json.dumps(envelope("leaderboard", data), indent=2, allow_nan=False) + "\n"


def table_data(table: Table) -> dict[str, Any]:
    """One table as JSON-able data."""
    return {**asdict(table), "rows": [_row(row) for row in table.rows]}


def score_data(score: Score) -> dict[str, Any]:
    """One number as JSON-able data; `accuracy` and `ci95` are null unless `status` is ``ok`` or ``estimated``.

    `correct` is null of an estimate, whose factors stand in `estimate`.
    """
    found = {**asdict(score), "accuracy": score.accuracy}
    return {key: value for key, value in found.items() if score.attack != WORST or key not in ("forwards", "backwards")}


def _row(row: Row) -> dict[str, Any]:
    content = asdict(row)
    content["detail"] = {key: value for key, value in content["detail"].items() if "pictures" not in key}
    return {
        **content,
        "clean": score_data(row.clean),
        "cells": [score_data(score) for score in row.cells],
        "adapted": [score_data(score) for score in row.adapted],
        "worst": [score_data(score) for score in row.worst],
        "complete": row.complete,
        "forwards": row.forwards,
        "backwards": row.backwards,
    }
