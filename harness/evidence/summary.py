"""``summary.json``: the numbers of a run, folded from its facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from harness.base.modes import MODES
from harness.base.statistics import wilson
from harness.base.text import percent
from harness.evidence.corrupted import average, means
from harness.evidence.costs import of_cell
from harness.evidence.metrics import Cell, WorstCase, cells, clean_accuracy, worst_case
from harness.evidence.run_info import ESTIMATES_SCHEMA, SCHEMA_VERSION, Randomness, RunInfo
from harness.evidence.structs import as_json
from harness.evidence.suite_info import AttackInfo
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
    folded = sorted(cells(facts, info.drawn), key=lambda cell: (order[cell.attack], cell.epsilon))
    parts = [cell for cell in folded if cell.component is not None]
    return {
        "schema": ESTIMATES_SCHEMA if info.estimated else SCHEMA_VERSION,
        "run": info.run,
        "model": info.model.name,
        "suite": info.suite.label,
        "mode": info.mode,
        **({"randomness": as_json(info.randomness)} if info.randomness is not None else {}),
        **({"threat": info.suite.threat} if info.suite.threat != "ball" else {}),
        "norm": info.suite.norm,
        "grid": list(info.suite.labels),
        "data": info.data.name,
        "slice": info.data.slice,
        "n": info.data.n,
        **({"ids": as_json(info.data.ids)} if info.data.ids is not None else {}),
        "clean": {"accuracy": right / n if n else None, "ci95": list(wilson(right, n)) if n else None, "n": n},
        "cells": [_cell(info, cell, tools, parts) for cell in folded if cell.component is None],
        **_united(info, facts),
        "findings": [finding.as_dict() for finding in findings],
        "grade": grade,
        "seconds": info.seconds,
        **({"thrown_away": as_json(info.thrown_away)} if info.thrown_away else {}),
        "status": info.status,
    }


def _united(info: RunInfo, facts: pa.Table) -> dict[str, Any]:
    """What all attacks say together: the worst case; of corruptions, which nobody chooses, the mean."""
    if info.suite.threat == "corruption":
        rows = means(info, facts)
        return {"worst_case": [], "means": rows, "mean": average([row["accuracy"] for row in rows])}
    union = worst_case(facts, info.data.n, drawn=info.drawn, adapted=info.suite.adapted)
    return {"worst_case": [_worst(worst) for worst in union]}


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
        "clean_correct": cell.right_clean if info.suite.threat == "corruption" else cell.clean_correct,
        "broken": cell.broken,
        "robust_accuracy": cell.robust_accuracy,
        "ci95": _pair(cell.ci95),
        "status": cell.status,
        "components": [_component(part, cell) for part in mine] or None,
        "forwards": cell.forwards,
        "backwards": cell.backwards,
        **(_kept(cell) if info.suite.threat == "corruption" else {}),
        **({"transferred": cell.transferred} if MODES[info.mode].shares_of(attack.after) else {}),
        **({"implied": cell.implied} if MODES[info.mode].halves else {}),
        **({"adapt": list(attack.adaptations)} if attack.adapt else {}),
        **of_cell(info, cell.attack, cell.epsilon_label),
    }


def _kept(cell: Cell) -> dict[str, Any]:
    """What stands of the images that are right clean, as a share of them."""
    known = cell.status == "ok" and cell.right_clean > 0
    interval = wilson(cell.kept, cell.right_clean) if known else None
    return {"kept": cell.kept / cell.right_clean if known else None, "kept_ci95": _pair(interval)}


def _worst(worst: WorstCase) -> dict[str, Any]:
    row = {
        "epsilon": worst.epsilon,
        "epsilon_label": worst.epsilon_label,
        "robust_accuracy": worst.robust_accuracy,
        "ci95": _pair(worst.ci95),
        **({"without": list(worst.without)} if worst.without else {}),
    }
    if not worst.further:
        return row
    full = {"attacks": list(worst.full), "n": worst.n, "kept": worst.surviving, "drawn": worst.n}
    further = [
        {"attacks": list(one.attacks), "n": one.n, "kept": one.kept, "drawn": one.drawn} for one in worst.further
    ]
    return row | {
        "status": worst.status,
        "ci95_of_slice": _pair(worst.of_slice),
        "lowered": worst.lowered,
        "factors": [full, *further],
    }


def worst_words(row: Mapping[str, Any]) -> str:
    """A row of ``worst_case`` as people read it: ``41.2 [39.4, 43.1]``, and ``est.`` behind an estimate."""
    words = percent(row.get("robust_accuracy"), row.get("ci95"))
    return f"{words} est." if row.get("status") == "estimated" else words


def data_words(summary: Mapping[str, Any]) -> str:
    """The data of a summary as people read it: ``signs, n=200``, with the set of ids where one was given."""
    ids = summary.get("ids")
    chosen = "" if ids is None else f" (ids {ids['name']}, {ids['sha256']:.19})"
    return f"{summary['data']}{chosen}, n={summary['n']}"


def mode_words(summary: Mapping[str, Any]) -> str:
    """``mode observed``; of a randomized model that is asked often ``mode observed, majority of 100 draws``."""
    told = summary.get("randomness")
    often = "" if told is None else f", {msgspec.convert(told, Randomness).words}"
    return f"mode {summary['mode']}{often}"


def about_estimates(summary: Mapping[str, Any]) -> str:
    """What the estimates of a summary stand on, in a sentence; nothing where there are none."""
    rows = [row for row in summary["worst_case"] if row.get("status") == "estimated"]
    if not rows:
        return ""
    full, *further = rows[0]["factors"]
    drawn = ", ".join(f"{' and '.join(one['attacks'])} on the first {one['n']:,}" for one in further)
    text = (
        f"est.: {' and '.join(full['attacks'])} ran on all {full['n']:,} samples, {drawn}; the worst case is the share"
        " that stands on all, times the share of those drawn that each prefix's attacks leave"
    )
    lowered = [row["epsilon_label"] for row in rows if row["lowered"]]
    more = f"; at {', '.join(lowered)} it came out above a smaller epsilon's, whose figure is shown" if lowered else ""
    return text + more


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
