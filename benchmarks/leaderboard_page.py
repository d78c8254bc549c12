"""Size and load time of the HTML leaderboard: ten models on 12,630 samples each, with generated facts.

    python benchmarks/leaderboard_page.py [FOLDER]

The numbers on the page are drawn, not measured: each sample of each model gets a radius, and falls at every epsilon
above it; what it is then read as is drawn too. Prints seconds and bytes, and opens the page in Chromium, if there.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from harness.base.files import key_of
from harness.evidence.facts import CLEAN
from harness.evidence.facts import SCHEMA_VERSION as FACTS_SCHEMA
from harness.evidence.facts import concat as concat_facts
from harness.evidence.facts import table as facts_table
from harness.evidence.run_info import SCHEMA_VERSION, run_name
from harness.evidence.store import RunStore, Unit
from harness.evidence.summary import summarize
from harness.trust.diagnosis import verdict
from leaderboard.render.html.page import render
from leaderboard.runs.collect import collect
from leaderboard.tables.tables import make_tables
from model_zoo.datasets.classes import TRAFFIC_SIGNS

MODELS = {
    "standard": (0.2, None), "fgsm": (0.55, None), "fast_fgsm": (0.6, None), "trades": (0.8, None),
    "a2s": (0.32, "standard"),
    "trades-8": (1.1, None), "a2s-trades": (0.85, "trades"), "pgd": (0.78, None), "a2a": (0.5, "standard"),
    "s2s": (0.25, "standard"),
}  # fmt: skip
"""Model to its strength and the defense that fine-tuned it."""
GRID = {"1/255": 1 / 255, "2/255": 2 / 255, "4/255": 4 / 255, "8/255": 8 / 255}
ATTACKS = {
    "fgsm": ("torchattacks", "fgsm", 0.8),
    "pgd-20": ("torchattacks", "pgd", 1.0),
    "autoattack": ("autoattack", "standard", 1.1),
}
STEPS = {"pgd-1": 1, "pgd-2": 2, "pgd-5": 5, "pgd-10": 10, "pgd-20": 20, "pgd-50": 50}


def attack(name: str, tool: str, method: str, **params: Any) -> dict[str, Any]:
    """An attack's entry in run.json."""
    parts = ["apgd-ce", "apgd-t", "fab-t", "square"] if method == "standard" else []
    return {
        "id": name, "tool": tool, "tool_version": "3.5.1", "method": method, "kind": "budget",
        "iterative": method != "fgsm", "components": parts,
        "params": params, "resolved": {}, "caveats": [],
    }  # fmt: skip


def generate(results: Path, n: int = 12_630, models: dict[str, tuple[float, str | None]] | None = None) -> None:
    """Write a run of suite `standard` and one of suite `steps` for each model."""
    standard = [attack(name, tool, method) for name, (tool, method, _) in ATTACKS.items()]
    steps = [attack(name, "torchattacks", "pgd", steps=count) for name, count in STEPS.items()]
    power = {name: strength for name, (_, _, strength) in ATTACKS.items()}
    for seed, (model, (strength, finetune)) in enumerate((models or MODELS).items()):
        write(results, model, finetune, strength, seed, "standard@1", standard, power, GRID, n)
        faster = {name: 1.05 - 0.5 / count for name, count in STEPS.items()}
        write(results, model, finetune, strength, seed, "steps@1", steps, faster, {"8/255": 8 / 255}, min(n, 2_000))


def write(
    results: Path, model: str, finetune: str | None, strength: float, seed: int, suite: str,
    attacks: list[dict[str, Any]], power: dict[str, float], grid: dict[str, float], n: int,
) -> None:  # fmt: skip
    """One run with drawn radii."""
    draws = np.random.default_rng(1000 + seed)
    common = np.random.default_rng(7).gamma(2.0, 1.0, n)  # what makes an image easy is the same for all models
    labels = np.random.default_rng(8).integers(0, 43, n)
    radius = strength * common * draws.gamma(8.0, 1 / 8.0, n) * 3.2 / 255
    right = draws.random(n) < 0.985 - 0.03 * strength
    read_as = np.where(draws.random(n) < 0.6, (labels + draws.integers(1, 4, n)) % 43, draws.integers(0, 43, n))
    read_as = np.where(read_as == labels, (labels + 1) % 43, read_as)
    name, _, version = suite.partition("@")
    options = {"finetune": finetune, "pretrain_epochs": 10} if finetune else {"epsilon": 3 / 255}
    info: dict[str, Any] = {
        "schema": SCHEMA_VERSION, "facts_schema": FACTS_SCHEMA,
        "model": {"name": model, "sha256": "sha256:" + key_of(model)},
        "suite": {
            "name": name, "version": int(version), "label": suite, "norm": "linf", "grid": list(grid),
            "epsilons": list(grid.values()), "chunk": 512, "attacks": attacks,
        },
        "data": {"name": "generated", "slice": "sha256:" + "b" * 64, "n": n}, "mode": "observed", "seed": 0,
    }  # fmt: skip
    key = key_of(info)
    info |= {
        "key": key, "run": f"results/{run_name(model, name, key)}", 
        "device": {"name": "no device: generated", "torch": "cpu"},
        "card": {
            "defense": model.removesuffix("-8"), "architecture": "resnet18",
            "recipe": {"epochs": 15, "options": options},
            "trained_for": {} if "standard" in (finetune, model) else {"norm": "linf", "epsilon": "3/255"},
            "data": {"sets": ["generated"]}, "provenance": {"seed": 0, "license": "MIT"},
            "notes": "Generated, not trained.",
        },
        "classes": list(TRAFFIC_SIGNS), "versions": {"robustness-harness": "0.1.0", "torch": "2.11.0"},
        "findings": [], "status": "complete", "finished": "2026-01-01T00:00:00+00:00", "seconds": 812.0,
        "asked": {"device": "cpu", "batch_size": "auto"}, "threads": 1, "witnesses": "none", "git": None,
        "run_name": run_name(model, name, key), "started": "2026-01-01T00:00:00+00:00", "sessions": 1,
        "out_of_memory": 0, "unconfirmed": 0,
    }  # fmt: skip
    store = RunStore.create(results, run_name(model, name, key))
    common_columns = {"sample_id": np.arange(n), "label": labels, "clean_pred": np.where(right, labels, read_as)}
    tables = [
        facts_table(n, {**common_columns, "attack": CLEAN, "epsilon": 0.0, "epsilon_label": "0",
                       "outcome": np.where(right, "survived", "clean_wrong").tolist(),
                       "forwards": np.ones(n, np.int64), "backwards": np.zeros(n, np.int64)})
    ]  # fmt: skip
    store.write(Unit(CLEAN, "0", 0), tables[0], None)
    for entry in attacks:
        before = np.zeros(n, bool)
        for label, epsilon in grid.items():
            broken = right & (radius < epsilon * power[entry["id"]])
            inherited = broken & before & entry["iterative"]
            outcome = np.select([~right, inherited, broken], ["clean_wrong", "inherited", "witness"], "survived")
            ran = np.isin(outcome, ("witness", "survived"))
            table = facts_table(n, {
                **common_columns, "attack": entry["id"], "epsilon": epsilon, "epsilon_label": label,
                "outcome": outcome.tolist(), "distance": np.ma.array(np.full(n, epsilon), mask=~broken),
                "adv_pred": np.ma.array(read_as, mask=~broken), "forwards": ran * 21, "backwards": ran * 20,
            })  # fmt: skip
            store.write(Unit(entry["id"], label, 0), table, None)
            tables.append(table)
            before = broken
    store.write_json("run.json", info)
    told, facts = store.read_info(), concat_facts(tables)
    store.write_json("summary.json", summarize(told, facts, *verdict(told, facts)))


def load(page: Path) -> dict[str, Any]:
    """Milliseconds until the page stands and until every chart of the board is drawn, in Chromium; median of five."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        return {"chromium": "not installed"}
    from playwright.sync_api import sync_playwright

    times: list[tuple[float, float]] = []
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(5):
            view = browser.new_page()
            begun = time.perf_counter()
            view.goto(page.as_uri())
            stands = time.perf_counter() - begun
            view.wait_for_function(
                "() => { const c = [...document.querySelectorAll('[data-charts] .chart')];"
                " return c.length && c.every(e => e.querySelector('svg')) }"
            )
            times.append((stands, time.perf_counter() - begun))
            view.close()
        browser.close()
    stands_at, drawn_at = (sorted(column)[2] for column in zip(*times, strict=True))
    return {"stands_ms": round(1000 * stands_at), "drawn_ms": round(1000 * drawn_at)}


def main() -> None:
    """Generate, render, measure, print."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
    if not (folder / "results").exists():
        generate(folder / "results")
    begun = time.perf_counter()
    records = collect([folder / "results"])
    read = time.perf_counter() - begun
    tables = make_tables(records)
    ranked = time.perf_counter() - begun - read
    text = render(tables)
    done = time.perf_counter() - begun - read - ranked
    page = folder / "leaderboard.html"
    page.write_text(text, encoding="utf-8")
    found = {"runs": len(records), "read_s": read, "rank_s": ranked, "render_s": done, "bytes": page.stat().st_size}
    print(json.dumps(found | load(page) | {"page": str(page)}, indent=2))


if __name__ == "__main__":
    main()
