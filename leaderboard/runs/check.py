"""Whether a run on disk says one thing: facts and summary agree with its run.json."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from harness.errors import BadRun
from harness.evidence.facts import CLEAN
from harness.evidence.run_info import RunInfo

_NUMBER = (int, float)


def check_facts(info: RunInfo, facts: pa.Table, folder: Path) -> None:
    """Refuse facts that the run did not ask for, and samples that count twice.

    Raises:
        BadRun: names the run and the attack.
    """
    known = {(attack.id, label) for attack in info.suite.attacks for label in info.suite.labels}
    known.add((CLEAN, "0"))
    groups = facts.group_by(["attack", "component", "epsilon_label"]).aggregate(
        [("sample_id", "count"), ("sample_id", "count_distinct")]
    )
    for group in groups.to_pylist():
        attack, label = group["attack"], group["epsilon_label"]
        if (attack, label) not in known:
            raise BadRun(f"run {folder} has facts of {attack} at {label}, which its run.json does not name")
        rows, samples = group["sample_id_count"], group["sample_id_count_distinct"]
        if rows != samples or rows > info.data.n:
            raise BadRun(
                f"run {folder}: {attack} at {label} has {rows} facts of {samples} samples, expected one of each and"
                f" {info.data.n} at most; run it again with --fresh"
            )


def check_summary(stored: Mapping[str, Any], counted: Mapping[str, Any], folder: Path) -> None:
    """Refuse a summary whose numbers are not those counted from the facts.

    Raises:
        BadRun: names the run, the first number that differs, and both values.
    """
    where = _difference(_by_place(stored), json.loads(json.dumps(_by_place(counted))))
    if where:
        raise BadRun(f"run {folder}: summary.json has {where}; one of them was altered, run it again with --fresh")


def _by_place(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a summary; cells by name, for their order follows that of the files."""
    found = {"n": summary.get("n"), "clean": summary.get("clean")}
    found |= {name: summary[name] for name in ("mean", "means") if name in summary}
    for name, keys in (("cells", ("attack", "epsilon_label")), ("worst_case", ("epsilon_label",))):
        cells = summary.get(name)
        if isinstance(cells, list) and all(isinstance(cell, Mapping) for cell in cells):
            found[name] = {" ".join(str(cell.get(key)) for key in keys): cell for cell in cells}
        else:
            found[name] = cells
    return found


def _difference(stored: Any, counted: Any, path: str = "") -> str:
    """The first place where `stored` differs from `counted`, in words, or nothing; further keys are ignored."""
    if isinstance(counted, Mapping) and isinstance(stored, Mapping):
        pairs: Sequence[tuple[Any, Any, str]] = [
            (stored.get(key), value, f"{path}.{key}".strip(".")) for key, value in counted.items()
        ]
    elif isinstance(counted, list) and isinstance(stored, list) and len(counted) == len(stored):
        pairs = [(a, b, f"{path}[{i}]") for i, (a, b) in enumerate(zip(stored, counted, strict=True))]
    else:
        return "" if _same(stored, counted) else f"{path} = {_brief(stored)}, but the facts give {_brief(counted)}"
    return next((text for pair in pairs if (text := _difference(*pair))), "")


def _same(stored: Any, counted: Any) -> bool:
    if all(isinstance(value, _NUMBER) and not isinstance(value, bool) for value in (stored, counted)):
        try:
            return math.isclose(stored, counted, rel_tol=0, abs_tol=1e-9)
        except OverflowError:  # a whole number that no float can hold
            return bool(stored == counted)
    return bool(stored == counted)


def _brief(value: Any) -> str:
    return f"{len(value)} entries" if isinstance(value, list | Mapping) else repr(value)
