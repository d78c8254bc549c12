"""What run.json and summary.json must say, whatever model and data are: their form, the run's key, the sums."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pyarrow as pa

from harness import __version__
from harness.base.files import key_of
from harness.base.threat import check_norm, parse_epsilon
from harness.errors import BadRun, HarnessError
from harness.evidence import facts as fact
from harness.evidence.run_info import run_name
from harness.evidence.store import RunStore
from harness.evidence.summary import summarize
from harness.inputs.suite import MODES
from harness.trust.verify.verdict import Problems
from harness.types import Finding

KEYED = ("schema", "facts_schema", "model", "suite", "data", "mode", "seed", "asked", "threads")
"""What `harness.run.manifest.describe` makes the key from."""
EVIDENCE = ("all", "worst", "none")
JUDGED = ("findings", "grade")
"""What in a summary is no number but a judgment."""
_NUMBER = (int, float)
_FORM: Mapping[str, Any] = {
    "model": {"name": str, "sha256": str},
    "suite": {
        "name": str, "version": int, "label": str, "norm": str, "grid": list, "epsilons": list, "chunk": int,
        "attacks": list,
    },
    "data": {"name": str, "slice": str, "n": int},
    "asked": dict, "facts_schema": int, "findings": list, "key": str, "mode": str, "plan": {"batch_size": int},
    "run": str, "run_name": str, "seconds": _NUMBER, "seed": int, "status": str, "threads": int, "versions": dict,
    "witnesses": str,
}  # fmt: skip
_ATTACK: Mapping[str, Any] = {
    "id": str, "tool": str, "tool_version": (str, type(None)), "method": str, "kind": str, "iterative": bool,
    "components": list, "params": dict, "resolved": dict,
}  # fmt: skip


def check_form(info: Mapping[str, Any], problems: Problems) -> bool:
    """Whether run.json has what a run must have; names the first thing that is wrong."""
    wrong = _misfit(info, _FORM, "")
    for place, attack in enumerate([] if wrong else info["suite"]["attacks"]):
        wrong = wrong or _misfit(attack, _ATTACK, f"suite.attacks[{place}].")
    wrong = wrong or _contradiction(info)
    if wrong:
        problems.add("run", f"run.json: {wrong}; it was altered or is of another version")
    return not wrong


def _misfit(value: Any, form: Mapping[str, Any], prefix: str) -> str:
    if not isinstance(value, Mapping):
        return f"{prefix.rstrip('.')} is {value!r:.60}, expected an object"
    for key, expected in form.items():
        if key not in value:
            return f"{prefix + key} is missing"
        if isinstance(expected, Mapping):
            if inner := _misfit(value[key], expected, f"{prefix}{key}."):
                return inner
        elif not isinstance(value[key], expected):
            return f"{prefix + key} is {value[key]!r:.60}"
    return ""


def _contradiction(info: Mapping[str, Any]) -> str:
    suite = info["suite"]
    ids = [attack["id"] for attack in suite["attacks"]]
    try:
        json.dumps(info, allow_nan=False)
        norm = check_norm(suite["norm"])
        labeled = [parse_epsilon(str(label), norm).value for label in suite["grid"]]
        epsilons = [float(value) for value in suite["epsilons"]]
    except (HarnessError, TypeError, ValueError) as error:
        return f"a value is not possible ({error})"
    # Older versions rounded labels of decimals to six digits.
    fits = len(labeled) == len(epsilons) and all(
        math.isclose(a, b, rel_tol=1e-5) for a, b in zip(labeled, epsilons, strict=True)
    )
    if not fits or not epsilons or any(a >= b for a, b in pairwise(epsilons)):
        return f"suite.grid {suite['grid']!r:.80} and suite.epsilons {suite['epsilons']!r:.80} do not fit together"
    if not ids or len(set(ids)) != len(ids) or fact.CLEAN in ids:
        return f"suite.attacks are {ids!r:.80}, expected different names"
    if not all(isinstance(name, str) for attack in suite["attacks"] for name in attack["components"]):
        return "suite.attacks have components that are no names"
    if info["mode"] not in MODES or info["witnesses"] not in EVIDENCE:
        return f"mode is {info['mode']!r:.40} and witnesses is {info['witnesses']!r:.40}"
    if suite["chunk"] < 1 or info["data"]["n"] < 1 or info["plan"]["batch_size"] < 1:
        return "suite.chunk, data.n and plan.batch_size must be at least 1"
    return ""


def check_key(info: Mapping[str, Any], problems: Problems) -> None:
    """Compute key and name of the run again from what it says of itself."""
    key = key_of({name: info[name] for name in KEYED})
    if key != info["key"]:
        problems.add(
            "key",
            f"run.json has key {info['key']:.12}, but its model, suite, data, mode and seed give {key:.12}: one of"
            " them was altered",
        )
    name = run_name(info["model"]["name"], info["suite"]["name"], key)
    if name != info["run_name"]:
        problems.add("key", f"run.json calls the run {info['run_name']!r:.80}, what it says of itself gives {name!r}")
    label = f"{info['suite']['name']}@{info['suite']['version']}"
    if info["suite"]["label"] != label:
        problems.add(
            "key", f"run.json labels its suite {info['suite']['label']!r:.80}, its name and version give {label!r}"
        )
    if info["status"] != "complete":
        problems.add("run", f"the run is {info['status']!r:.40}; finish it first, the same `harness eval` goes on")


def recount(
    store: RunStore, info: Mapping[str, Any], facts: pa.Table, problems: Problems, notes: list[Finding]
) -> dict[str, Any]:
    """The summary counted from the facts; names the first number in which summary.json differs.

    Findings and grade follow rules that a new version of the harness may sharpen: of a run of another version they are
    only noted.
    """
    counted: dict[str, Any] = {"cells": [], "worst_case": []}
    try:
        counted = json.loads(json.dumps(summarize(info, facts)))
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
        if info["versions"].get("robustness-harness") == __version__:
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
