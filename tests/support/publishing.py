"""Runs that are measured, judged, published and forged, for the tests of published files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.trust.ledger import content_hash, ledger_path
from leaderboard.runs.collect import collect
from leaderboard.runs.published import ENDING
from leaderboard.tables.tables import make_tables
from model_zoo.datasets.classes import TRAFFIC_SIGNS

E1, E8 = "1/255", "8/255"


def measure(runs) -> None:
    attacks = [runs.attack("fgsm", iterative=False), runs.attack("pgd-20", steps=20)]
    options = {"attacks": attacks, "n": 60, "classes": TRAFFIC_SIGNS}
    finding = {"check": "P20", "level": "warn", "message": "odd"}
    falls = {"fgsm": dict.fromkeys(range(30), E1), "pgd-20": dict.fromkeys(range(45), E8)}
    runs.write("standard", falls, card={"defense": "standard"}, findings=[finding], wrong=[59], **options)
    card = {"defense": "a2s", "recipe": {"options": {"finetune": "standard"}}}
    runs.write("a2s", {"pgd-20": dict.fromkeys(range(20), E8)}, card=card, **options)


def judge(folder: Path, value: str = "replayed 5") -> Path:
    """The run, of which the ledger says `value`."""
    line = {
        "content": content_hash(folder), "run": folder.name, "verdict": value, "evidence": "all", "replayed": 5,
        "at_most": 0.5, "problems": int(value == "no"), "by": None, "device": "cpu", "at": "2025-01-01", "schema": 1,
    }  # fmt: skip
    with ledger_path().open("a", encoding="utf-8") as ledger:
        ledger.write(json.dumps(line) + "\n")
    return folder


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{ENDING}"))


def rows_of(*folders: Path, claims: bool = False) -> dict[str, tuple[Any, str, str | None]]:
    (table,) = make_tables(collect(folders), claims)
    return {row.label: (row.rank, row.verified, row.grade) for row in table.rows}


def forge(path: Path, **values: Any) -> Path:
    """A published file in which the model loses no sample, beside the honest one."""
    content = json.loads(path.read_text(encoding="utf-8"))
    info = content["info"] | {key: values.pop(key) for key in ("finished", "model") if key in values}
    clean = next(cell["survivors"] for cell in content["cells"] if cell["epsilon_label"] == "0")
    cells = [cell | {"survivors": clean} for cell in content["cells"]]
    forged = content | {"cells": cells, "info": info, "grade": "A", "verified": "replayed 5000", "name": "x"} | values
    target = path.with_name(f"x{ENDING}")
    target.write_text(json.dumps(forged), encoding="utf-8")
    return target
