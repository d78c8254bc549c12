"""Mode bisection against mode observed: what it saves over many epsilons, and what strength it loses.

Both run in turn in one process on the same samples, batch and seed, each whole, in a results folder of its own::

    python benchmarks/bisection.py --model trades --data gtsrb --data-root DIR -o benchmarks/results/bisection-X.json
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

from common import Clock, machine, model_parser, own_cache, write

from harness.base.threat import parse_grid
from harness.evidence.metrics import sample_outcomes
from harness.evidence.structs import as_json
from harness.inputs.find import find_data, find_model
from harness.inputs.samples import make_slice
from harness.inputs.suite import Suite
from harness.run.job import Options, Run, evaluate
from harness.types import AttackSpec

MODES = ("observed", "bisection")


def cells(runs: dict[str, Run], suite: Suite) -> dict[str, dict[str, Any]]:
    """Robust accuracy of both by epsilon, and the samples that only one of them breaks."""
    found: dict[str, dict[str, Any]] = {}
    for epsilon in suite.grid:
        halved, climbed = (
            sample_outcomes(runs[mode].facts, suite.attacks[0].id, epsilon.value) for mode in reversed(MODES)
        )
        found[epsilon.label] = {
            "observed": sum(climbed.values()) / len(climbed),
            "bisection": sum(halved.values()) / len(halved),
            "only_observed_breaks": sum(halved[i] and not climbed[i] for i in climbed),
            "only_bisection_breaks": sum(climbed[i] and not halved[i] for i in climbed),
        }
    return found


def main() -> None:
    parser = model_parser(__doc__, n=128)
    parser.add_argument("--eps", default=",".join(f"{k}/255" for k in range(1, 17)))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()

    model = find_model(arguments.model)
    params = {"steps": arguments.steps, "step_size": "epsilon/4", "random_start": True, "restarts": 1}
    spec = AttackSpec(f"pgd-{arguments.steps}", "torchattacks", "pgd", params)
    grid = parse_grid(arguments.eps.split(","), "linf")
    part = make_slice(find_data(arguments.data, arguments.data_root), arguments.n, 512)
    rows: list[dict[str, Any]] = []
    with own_cache():
        for seed in range(arguments.seeds):
            runs, spent = {}, {}
            for mode in MODES:
                suite = Suite(
                    name="bisection", version=1, norm="linf", grid=grid, mode=mode, chunk=512, attacks=(spec,)
                )
                with tempfile.TemporaryDirectory() as folder, Clock(arguments.device) as clock:
                    options = Options(
                        Path(folder), n=arguments.n, seed=seed, device=arguments.device, batch_size=arguments.batch
                    )
                    runs[mode] = evaluate(model, suite, part.data, options)
                spent[mode] = clock.seconds
            backwards = {mode: sum(cell["backwards"] for cell in run.summary["cells"]) for mode, run in runs.items()}
            rows.append({"seed": seed, "seconds": spent, "backwards": backwards, "cells": cells(runs, suite)})
            print(f"seed {seed}: {spent['observed'] / spent['bisection']:.2f}", flush=True)
    write(
        {
            "benchmark": "bisection",
            "model": arguments.model,
            "data": part.data.name,
            "n": arguments.n,
            "batch": arguments.batch,
            "steps": arguments.steps,
            "grid": [epsilon.label for epsilon in grid],
            "plan": as_json(runs["bisection"].info.plan),
            **machine(arguments.device),
            "rows": rows,
            "speedup": statistics.median(row["seconds"]["observed"] / row["seconds"]["bisection"] for row in rows),
        },
        arguments.output,
    )


if __name__ == "__main__":
    main()
