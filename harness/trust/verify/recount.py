"""What run.json and summary.json must say, whatever model and data are: the run's key, the sums."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from harness import __version__
from harness.errors import BadRun
from harness.evidence.run_info import RunInfo, run_name
from harness.evidence.store import RunStore
from harness.evidence.summary import summarize
from harness.trust.diagnosis import verdict
from harness.trust.verify.verdict import Contradictions
from harness.types import Finding

JUDGED = ("findings", "grade")
"""What in a summary is no number but a judgment."""
_NUMBER = (int, float)


def check_key(info: RunInfo, problems: Contradictions) -> None:
    """Compute key and name of the run again from what it says of itself."""
    key = info.determined()
    if key != info.key:
        problems.add(
            "key",
            f"run.json has key {info.key:.12}, but its model, suite, data, mode and seed give {key:.12}: one of"
            " them was altered",
        )
    name = run_name(info.model.name, info.suite.name, key)
    if name != info.run_name:
        problems.add("key", f"run.json calls the run {info.run_name!r:.80}, what it says of itself gives {name!r}")
    label = f"{info.suite.name}@{info.suite.version}"
    if info.suite.label != label:
        problems.add("key", f"run.json labels its suite {info.suite.label!r:.80}, its name and version give {label!r}")
    if info.status != "complete":
        problems.add("run", f"the run is {info.status!r:.40}; finish it first, the same `harness eval` goes on")


def recount(
    store: RunStore, info: RunInfo, facts: pa.Table, problems: Contradictions, notes: list[Finding]
) -> dict[str, Any]:
    """The summary counted from the facts; names the first number in which summary.json differs.

    Findings and grade follow rules that a new version of the harness may sharpen: of a run of another version they are
    only noted.
    """
    counted: dict[str, Any] = {"cells": [], "worst_case": []}
    try:
        counted = json.loads(json.dumps(summarize(info, facts, *verdict(info, facts))))
    except Exception as error:  # facts that were tampered with may break any assumption
        problems.add("summary", f"the facts cannot be summed up ({type(error).__name__}: {error})")
        return counted
    try:
        stored = store.read_json("summary.json")
    except BadRun as error:
        problems.add("summary", str(error))
        return counted
    if where := _difference(_numbers(stored), _numbers(counted)):
        problems.add("summary", f"summary.json has {where}")
    said, judged = ({key: summary.get(key) for key in JUDGED} for summary in (stored, counted))
    if where := _difference(said, judged):
        if info.versions.get("robustness-harness") == __version__:
            problems.add("summary", f"summary.json has {where}")
        else:
            notes.append(Finding("summary", "info", f"another version of the harness judged this run: {where}"))
    return counted


def _numbers(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in _by_name(summary).items() if key not in JUDGED}


def _by_name(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Cells by name: their order follows that of the files."""
    named = dict(summary)
    for key, parts in (("cells", ("attack", "epsilon_label")), ("worst_case", ("epsilon_label",))):
        cells = summary.get(key)
        if isinstance(cells, list) and all(isinstance(cell, Mapping) for cell in cells):
            names = [" at ".join(str(cell.get(part)) for part in parts) for cell in cells]
            if len(set(names)) == len(names):  # a cell that stands twice is a difference, not to be lost here
                named[key] = dict(zip(names, cells, strict=True))
    return named


def _difference(stored: Any, counted: Any, path: str = "") -> str:
    """The first place where `stored` differs from `counted`, in words, or nothing."""
    if isinstance(stored, Mapping) and isinstance(counted, Mapping):
        for key in [*counted, *(key for key in stored if key not in counted)]:
            where = f"{path}.{key}" if path else str(key)
            if key not in stored:
                return f"no {where}"
            if key not in counted:
                return f"{where}, which the facts do not give"
            if text := _difference(stored[key], counted[key], where):
                return text
        return ""
    if isinstance(stored, list) and isinstance(counted, list) and len(stored) == len(counted):
        pairs = enumerate(zip(stored, counted, strict=True))
        return next((text for i, pair in pairs if (text := _difference(*pair, f"{path}[{i}]"))), "")
    numbers = all(isinstance(value, _NUMBER) and not isinstance(value, bool) for value in (stored, counted))
    same = math.isclose(stored, counted, rel_tol=1e-12, abs_tol=1e-12) if numbers else stored == counted
    return "" if same else f"{path} = {stored!r:.60}, but the facts give {counted!r:.60}"
