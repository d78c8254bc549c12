"""Whether a run on disk says one thing: its run.json has the form of one, facts and summary agree with it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from harness.base.threat import parse_epsilon
from harness.errors import BadRun, HarnessError
from harness.evidence.facts import CLEAN

_NUMBER = (int, float)
_FORM: Mapping[str, Any] = {
    "model": {"name": str, "sha256": str},
    "suite": {"norm": str, "label": str, "grid": list, "epsilons": list, "chunk": int, "attacks": list},
    "data": {"name": str, "slice": str, "n": int},
    "device": {"name": str},
    "mode": str,
    "seed": int,
    "key": str,
    "run": str,
    "card": (dict, type(None)),
    "versions": dict,
    "findings": list,
    "status": str,
    "seconds": _NUMBER,
    "finished": (str, type(None)),
}
_ATTACK: Mapping[str, Any] = {
    "id": str,
    "tool": str,
    "tool_version": (str, type(None)),
    "method": str,
    "kind": str,
    "iterative": bool,
    "components": list,
    "params": dict,
    "resolved": dict,
    "caveats": list,
}
_COST: Mapping[str, Any] = {
    "attack": str,
    "epsilon_label": str,
    **dict.fromkeys(("seconds", "peak_memory", "useful", "backwards", "unconfirmed", "again"), (*_NUMBER, type(None))),
}
_FINDING: Mapping[str, Any] = {"check": str, "level": str, "message": str}


def check_info(info: Mapping[str, Any], path: Path) -> None:
    """Refuse a run.json that lacks what a row needs.

    Raises:
        BadRun: names the file and the key.
    """
    _check_form(info, _FORM, path, "")
    compute = info.get("compute", [])
    if not isinstance(compute, list):
        raise BadRun(f"{path}: compute is {compute!r:.80}, which it cannot be; the file was altered")
    lists = (("suite.attacks", info["suite"]["attacks"], _ATTACK), ("findings", info["findings"], _FINDING))
    for name, entries, form in (*lists, ("compute", compute, _COST)):
        for place, entry in enumerate(entries):
            _check_form(entry, form, path, f"{name}[{place}].")
    grid, epsilons = info["suite"]["grid"], info["suite"]["epsilons"]
    numbers = all(isinstance(e, _NUMBER) and not isinstance(e, bool) for e in epsilons)
    words = all(isinstance(label, str) for label in grid)
    if len(grid) != len(epsilons) or not numbers or not words or epsilons != sorted(epsilons):
        raise BadRun(f"{path}: suite.grid and suite.epsilons do not fit together; the file was altered")
    for label, epsilon in zip(grid, epsilons, strict=True):
        if not _is_label_of(label, epsilon, info["suite"]["norm"]):
            raise BadRun(f"{path}: suite.grid calls epsilon {epsilon:g} {label!r:.20}; the file was altered")


def _is_label_of(label: str, epsilon: float, norm: Any) -> bool:
    try:
        return math.isclose(parse_epsilon(label, norm).value, epsilon, rel_tol=1e-6)
    except HarnessError:
        return False


def _check_form(value: Any, form: Mapping[str, Any], path: Path, prefix: str) -> None:
    if not isinstance(value, Mapping):
        raise BadRun(f"{path}: {prefix.rstrip('.')} is {value!r:.80}, expected an object; the file was altered")
    for key, expected in form.items():
        if key not in value:
            raise BadRun(f"{path}: key {prefix + key!r} is missing; the file was altered or is of another version")
        if isinstance(expected, Mapping):
            _check_form(value[key], expected, path, f"{prefix}{key}.")
        elif not isinstance(value[key], expected):
            raise BadRun(f"{path}: {prefix + key} is {value[key]!r:.80}, which it cannot be; the file was altered")


def check_facts(info: Mapping[str, Any], facts: pa.Table, folder: Path) -> None:
    """Refuse facts that the run did not ask for, and samples that count twice.

    Raises:
        BadRun: names the run and the attack.
    """
    known = {(attack["id"], label) for attack in info["suite"]["attacks"] for label in info["suite"]["grid"]}
    known.add((CLEAN, "0"))
    groups = facts.group_by(["attack", "component", "epsilon_label"]).aggregate(
        [("sample_id", "count"), ("sample_id", "count_distinct")]
    )
    for group in groups.to_pylist():
        attack, label = group["attack"], group["epsilon_label"]
        if (attack, label) not in known:
            raise BadRun(f"run {folder} has facts of {attack} at {label}, which its run.json does not name")
        rows, samples = group["sample_id_count"], group["sample_id_count_distinct"]
        if rows != samples or rows > info["data"]["n"]:
            raise BadRun(
                f"run {folder}: {attack} at {label} has {rows} facts of {samples} samples, expected one of each and"
                f" {info['data']['n']} at most; run it again with --fresh"
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
        return math.isclose(stored, counted, rel_tol=0, abs_tol=1e-9)
    return bool(stored == counted)


def _brief(value: Any) -> str:
    return f"{len(value)} entries" if isinstance(value, list | Mapping) else repr(value)
