"""``summary.json``: the numbers of a run, folded from its facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from harness.base.statistics import wilson
from harness.evidence.costs import of_cell
from harness.evidence.metrics import Cell, cells, clean_accuracy, worst_case
from harness.evidence.run_info import SCHEMA_VERSION
from harness.trust.diagnosis import verdict


def summarize(run: Mapping[str, Any], facts: pa.Table) -> dict[str, Any]:
    """The summary of a run, as ``docs/contracts.md`` describes it.

    Args:
        run: The content of run.json.
        facts: All facts of the run.
    """
    right, n = clean_accuracy(facts)
    tools = {attack["id"]: attack for attack in run["suite"]["attacks"]}
    order = {name: place for place, name in enumerate(tools)}
    folded = sorted(cells(facts, run["data"]["n"]), key=lambda cell: (order[cell.attack], cell.epsilon))
    parts = [cell for cell in folded if cell.component is not None]
    findings, grade = verdict(run, facts)
    return {
        "schema": SCHEMA_VERSION,
        "run": run["run"],
        "model": run["model"]["name"],
        "suite": run["suite"]["label"],
        "mode": run["mode"],
        "norm": run["suite"]["norm"],
        "grid": run["suite"]["grid"],
        "data": run["data"]["name"],
        "slice": run["data"]["slice"],
        "n": run["data"]["n"],
        "clean": {"accuracy": right / n if n else None, "ci95": list(wilson(right, n)) if n else None, "n": n},
        "cells": [_cell(run, cell, tools, parts) for cell in folded if cell.component is None],
        "worst_case": [
            {
                "epsilon": worst.epsilon,
                "epsilon_label": worst.epsilon_label,
                "robust_accuracy": worst.robust_accuracy,
                "ci95": _pair(worst.ci95),
            }
            for worst in worst_case(facts, run["data"]["n"], len(tools))
        ],
        "findings": findings,
        "grade": grade,
        "seconds": run["seconds"],
        "status": run["status"],
    }


def _cell(
    run: Mapping[str, Any], cell: Cell, tools: Mapping[str, Mapping[str, Any]], parts: list[Cell]
) -> dict[str, Any]:
    attack = tools[cell.attack]
    mine = [part for part in parts if (part.attack, part.epsilon) == (cell.attack, cell.epsilon)]
    order = {name: place for place, name in enumerate(attack["components"])}
    mine.sort(key=lambda part: order.get(part.component, len(order)))
    return {
        "attack": cell.attack,
        "tool": attack["tool"],
        "tool_version": attack["tool_version"],
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
        **({"transferred": cell.transferred} if run["mode"] == "worst-case" else {}),
        **({"implied": cell.implied} if run["mode"] == "bisection" else {}),
        **of_cell(run, cell.attack, cell.epsilon_label),
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
