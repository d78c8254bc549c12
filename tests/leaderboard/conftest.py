"""Small results folders, written through the harness's own store and facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from harness.base.files import key_of
from harness.base.threat import parse_epsilon
from harness.evidence.facts import BROKEN, CLEAN
from harness.evidence.facts import SCHEMA_VERSION as FACTS_SCHEMA
from harness.evidence.facts import concat as concat_facts
from harness.evidence.facts import table as facts_table
from harness.evidence.run_info import SCHEMA_VERSION, run_name
from harness.evidence.store import RunStore, Unit
from harness.evidence.summary import summarize
from harness.trust.diagnosis import verdict

Falls = Mapping[int, str]
"""Sample id to the smallest epsilon label at which it falls; other clean-correct samples survive the whole grid."""

_BUILT_IN = {("pgd-20",): "pgd@1", ("fgsm",): "fgsm@1", ("fgsm", "pgd-20"): "fgsm-pgd@1"}
"""Built-in suites of these attacks, whose names no other suite may have."""


def attack_info(name: str, iterative: bool = True, tool: str = "torchattacks", **params: Any) -> dict[str, Any]:
    if name.startswith("pgd-") and tool == "torchattacks":  # as the built-in suites have it
        params = {"steps": int(name[4:]), "step_size": "epsilon/4", "random_start": True, "restarts": 1} | params
    return {
        "id": name, "tool": tool, "tool_version": "3.5.1", "method": name.partition("-")[0], "kind": "budget",
        "iterative": iterative, "components": [], "params": params, "resolved": {}, "caveats": [],
    }  # fmt: skip


def write_run(
    results: Path,
    model: str = "standard",
    falls: Mapping[str, Falls] | None = None,
    *,
    n: int = 20,
    wrong: Sequence[int] = (),
    grid: Sequence[str] = ("1/255", "8/255"),
    suite: str | None = None,
    attacks: Sequence[Mapping[str, Any]] | None = None,
    mode: str = "observed",
    norm: str = "linf",
    data: str = "signs",
    chunk: int = 512,
    slice_: str = "sha256:" + "a" * 64,
    seed: int = 0,
    sha256: str | None = None,
    card: Mapping[str, Any] | None = None,
    findings: Sequence[Mapping[str, str]] = (),
    status: str = "complete",
    finished: str | None = "2024-01-01T00:00:00+00:00",
    without: Sequence[tuple[str, str]] = (),
    unknown: Mapping[tuple[str, str], Sequence[int]] | None = None,
    classes: Sequence[str] | None = None,
    witnesses: Any = None,
    ids: Sequence[int] | None = None,
    reached: Mapping[str, int] | None = None,
    info: Mapping[str, Any] | None = None,
) -> Path:
    """One run. `without` leaves out units (attack, epsilon label); `unknown` marks samples of a cell as not run.

    With `reached` it has a stopping rule, under which attacks with an n went on to so many samples.

    Sample ids are 0..n-1, or `ids`, and labels id % 43; what is wrong or broken is read as the next class.
    `witnesses` is a table of `harness.evidence.witnesses`.
    """
    n = n if ids is None else len(ids)
    attacks = list(attacks or [attack_info("pgd-20", steps=20)])
    epsilons = [parse_epsilon(label, norm) for label in grid]
    told = {**(info or {}), **({} if reached is None else {"reached": dict(reached)})}
    suite = suite or _BUILT_IN.get(tuple(attack["id"] for attack in attacks), "mine@1")
    info = {
        "schema": SCHEMA_VERSION,
        "facts_schema": FACTS_SCHEMA,
        "model": {"name": model, "sha256": sha256 or "sha256:" + key_of(model)},
        "suite": {
            "name": suite.partition("@")[0], "version": int(suite.partition("@")[2]), "label": suite, "norm": norm,
            "grid": list(grid), "epsilons": [e.value for e in epsilons], "chunk": chunk, "attacks": attacks,
            **({} if reached is None else {"until": 0.02}),
        },
        "data": {"name": data, "slice": slice_, "n": n},
        "mode": mode,
        "seed": seed,
        "asked": {"device": "cpu", "batch_size": "auto"},
        "threads": 1,
    }  # fmt: skip
    if classes is not None:
        info["classes"] = list(classes)
    key = key_of({**info, "finished": finished, "status": status})
    name = run_name(model, suite.partition("@")[0], key)
    info |= {
        "key": key, "run": f"results/{name}", "run_name": name, "device": {"name": "test cpu", "torch": "cpu"},
        "card": card, "witnesses": "all", "git": None, "started": "2024-01-01T00:00:00+00:00",
        "sessions": 1, "out_of_memory": 0, "unconfirmed": 0,
        "versions": {"python": "3.11.0", "robustness-harness": "0.1.0", "torch": "2.11.0"},
        "findings": list(findings), "status": status, "finished": finished, "seconds": 12.5,
    }  # fmt: skip
    store = RunStore.create(results, name)
    ids = np.arange(n) if ids is None else np.array(ids)
    right, place = ~np.isin(ids, list(wrong)), {int(i): at for at, i in enumerate(ids)}
    tables = [_clean(ids, right)]
    store.write(Unit(CLEAN, "0", 0), tables[0], witnesses)
    for attack in attacks:
        lethal = {i: parse_epsilon(label, norm).value for i, label in (falls or {}).get(attack["id"], {}).items()}
        for epsilon in epsilons:
            if (attack["id"], epsilon.label) in without:
                continue
            outcomes = ["survived" if ok else "clean_wrong" for ok in right]
            for i, smallest in lethal.items():
                here = place[i]
                if right[here] and smallest <= epsilon.value:
                    outcomes[here] = "witness" if smallest == epsilon.value or not attack["iterative"] else "inherited"
            for i in (unknown or {}).get((attack["id"], epsilon.label), ()):
                outcomes[place[i]] = "not_run"
            given = slice((reached or {}).get(attack["id"], attack.get("n")))
            table = _attacked(ids[given], attack["id"], epsilon.value, epsilon.label, outcomes[given])
            store.write(Unit(attack["id"], epsilon.label, 0), table, None)
            tables.append(table)
    info |= told
    store.write_json("run.json", info)
    if status == "complete":
        told, facts = store.read_info(), concat_facts(tables)
        store.write_json("summary.json", summarize(told, facts, *verdict(told, facts)))
    return store.folder


def _clean(ids: np.ndarray, right: np.ndarray) -> Any:
    outcomes = ["survived" if ok else "clean_wrong" for ok in right]
    return facts_table(
        len(ids),
        {
            "sample_id": ids, "label": ids % 43, "attack": CLEAN, "epsilon": 0.0, "epsilon_label": "0",
            "clean_pred": np.where(right, ids % 43, (ids + 1) % 43), "outcome": outcomes,
            "forwards": np.ones(len(ids), np.int64), "backwards": np.zeros(len(ids), np.int64),
        },
    )  # fmt: skip


def _attacked(ids: np.ndarray, attack: str, epsilon: float, label: str, outcomes: Sequence[str]) -> Any:
    broken = np.isin(outcomes, BROKEN)
    ran = np.isin(outcomes, ("survived", "witness"))
    return facts_table(
        len(ids),
        {
            "sample_id": ids, "label": ids % 43, "attack": attack, "epsilon": epsilon, "epsilon_label": label,
            "outcome": list(outcomes), "distance": np.ma.masked_array(np.full(len(ids), epsilon), ~broken),
            "adv_pred": np.ma.masked_array((ids + 1) % 43, ~broken),
            "reason": ["budget" if o == "not_run" else None for o in outcomes],
            "forwards": ran.astype(np.int64) * 20, "backwards": ran.astype(np.int64) * 19,
        },
    )  # fmt: skip


class Results:
    """A results folder in the making."""

    attack = staticmethod(attack_info)

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, model: str = "standard", falls: Mapping[str, Falls] | None = None, **options: Any) -> Path:
        return write_run(self.folder, model, falls, **options)

    def elsewhere(self, name: str) -> Results:
        return Results(self.folder.with_name(name))


@pytest.fixture
def runs(tmp_path: Path) -> Results:
    return Results(tmp_path / "results")


@pytest.fixture(scope="module")
def module_runs(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A results folder that all tests of a file share."""
    return Results(tmp_path_factory.mktemp("module") / "results")


@pytest.fixture
def call() -> Callable[..., int]:
    """Calls a command function as the command line would, with its words; errors are raised."""

    def run(function: Callable[..., int], *words: object) -> int:
        app = typer.Typer()
        app.command()(function)
        code = app([str(word) for word in words], standalone_mode=False)
        assert isinstance(code, int)
        return code

    return run
