"""``summary.json``: the numbers of a run, folded from its facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from harness.base.modes import MODES
from harness.base.statistics import wilson
from harness.evidence.costs import of_cell
from harness.evidence.metrics import Cell, cells, clean_accuracy, worst_case
from harness.evidence.run_info import SCHEMA_VERSION, AttackInfo, RunInfo
from harness.types import Finding


def summarize(info: RunInfo, facts: pa.Table, findings: Sequence[Finding], grade: str | None) -> dict[str, Any]:
    """The summary of a run, as ``docs/contracts.md`` describes it.

    Args:
        info: The content of run.json.
        facts: All facts of the run.
        findings: Those of run.json and of the diagnosis.
        grade: The diagnosis' letter; None for a run that is not complete.
    """
    right, n = clean_accuracy(facts)
    tools = {attack.id: attack for attack in info.suite.attacks}
    order = {name: place for place, name in enumerate(tools)}
    folded = sorted(cells(facts, info.data.n), key=lambda cell: (order[cell.attack], cell.epsilon))
    parts = [cell for cell in folded if cell.component is not None]
    return {
        "schema": SCHEMA_VERSION,
        "run": info.run,
        "model": info.model.name,
        "suite": info.suite.label,
        "mode": info.mode,
        "norm": info.suite.norm,
        "grid": list(info.suite.labels),
        "data": info.data.name,
        "slice": info.data.slice,
        "n": info.data.n,
        "clean": {"accuracy": right / n if n else None, "ci95": list(wilson(right, n)) if n else None, "n": n},
        "cells": [_cell(info, cell, tools, parts) for cell in folded if cell.component is None],
        "worst_case": [
            {
                "epsilon": worst.epsilon,
                "epsilon_label": worst.epsilon_label,
                "robust_accuracy": worst.robust_accuracy,
                "ci95": _pair(worst.ci95),
            }
            for worst in worst_case(facts, info.data.n, len(tools))
        ],
        "findings": [finding.as_dict() for finding in findings],
        "grade": grade,
        "seconds": info.seconds,
        "status": info.status,
    }


def _cell(info: RunInfo, cell: Cell, tools: Mapping[str, AttackInfo], parts: list[Cell]) -> dict[str, Any]:
    attack = tools[cell.attack]
    mine = [part for part in parts if (part.attack, part.epsilon) == (cell.attack, cell.epsilon)]
    order: dict[str | None, int] = {name: place for place, name in enumerate(attack.components)}
    mine.sort(key=lambda part: order.get(part.component, len(order)))
    return {
        "attack": cell.attack,
        "tool": attack.tool,
        "tool_version": attack.tool_version,
        "epsilon": cell.epsilon,
        "epsilon_label": cell.epsilon_label,
        "n": cell.n,
        "clean_correct": cell.clean_correct,
        "broken": cell.broken,
        "robust_accuracy": cell.robust_accuracy,
        "ci95": _pair(cell.ci95),
        "status": cell.status,
        "components": [_component(part, cell) for part in mine] or None,
        "forwards": cell.forwards,
        "backwards": cell.backwards,
        **({"transferred": cell.transferred} if MODES[info.mode].shares else {}),
        **({"implied": cell.implied} if MODES[info.mode].halves else {}),
        **of_cell(info, cell.attack, cell.epsilon_label),
    }


def _component(part: Cell, cell: Cell) -> dict[str, Any]:
    """A cascade's component: what it broke of what it attacked, and the robust accuracy of the cascade after it.

    Survivals of the whole that a larger epsilon implies are none of its work, but they stand.
    """
    return {
        "component": part.component,
        "attacked": part.attacked,
        "broken": part.broken,
        "robust_accuracy": (part.attacked - part.broken + cell.implied) / part.n if not part.unknown else None,
        "forwards": part.forwards,
        "backwards": part.backwards,
    }


def _pair(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)
