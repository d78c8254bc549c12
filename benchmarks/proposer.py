"""May bfloat16 propose? A paired test of non-inferiority against float32, on the same samples, attacks and seeds.

::

    python benchmarks/proposer.py --model trades --data gtsrb --data-root DIR -o benchmarks/results/proposer-trades.json

For each seed the suite is run twice, through the float32 copy and through the bfloat16 copy, with every witness
confirmed by the float32 reference. A bfloat16 run is inferior where it leaves samples standing that float32 breaks. The
difference of the two robust accuracies (bfloat16 minus float32) has a one-sided 95 % upper bound: samples are
the units, each with its mean over the seeds, and the bound is the larger of the normal one for paired differences and,
where hardly anything differs, the exact one (Clopper and Pearson) for the share of samples that only float32 breaks.
It passes if at every epsilon the bound is below 0.3 points, on at least 2,000 samples and 3 seeds.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import machine, model_parser, own_cache, write

from harness.base.statistics import exact_upper_bound
from harness.evidence.metrics import sample_outcomes
from harness.inputs.find import find_data, find_model
from harness.inputs.suite_file import load_suite
from harness.run.job import Options, evaluate

LIMIT, FEWEST, SEEDS = 0.003, 2000, 3
Z = 1.6448536269514722
"""The 95 % point of the normal distribution."""


def bound(differences: np.ndarray) -> float:
    """Upper 95 % bound of the mean of paired differences [n] between -1 and 1; positive ones speak against bfloat16."""
    n = len(differences)
    normal = float(differences.mean() + Z * differences.std(ddof=1) / np.sqrt(n))
    against, gained = int((differences > 0).sum()), float(np.clip(-differences, 0, None).mean())
    return max(normal, exact_upper_bound(against, n) - gained if against + (differences < 0).sum() < 10 else normal)


def main() -> None:
    parser = model_parser(__doc__, n=FEWEST)
    parser.add_argument("--suite", default="pgd")
    parser.add_argument("--eps")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--results", type=Path, help="keep the runs here, so that an interrupted test goes on")
    arguments = parser.parse_args()

    model, suite = find_model(arguments.model), load_suite(arguments.suite)
    if arguments.eps:
        suite = suite.with_grid(arguments.eps.split(","))
    data = find_data(arguments.data, arguments.data_root)
    standing: dict[tuple[str, str, float], list[np.ndarray]] = {}
    unconfirmed = again = 0
    with own_cache(), tempfile.TemporaryDirectory() as temporary:
        folder = arguments.results or Path(temporary)
        for seed in range(arguments.seeds):
            for precision in ("float32", "bf16"):
                options = Options(
                    folder,
                    n=arguments.n,
                    seed=seed,
                    device=arguments.device,
                    batch_size=arguments.batch,
                    witnesses="none",
                    precision=precision,
                )
                run = evaluate(model, suite, data, options)
                if not run.complete or run.info.planned.precision != precision:
                    raise SystemExit(f"{run.folder} has no complete result in {precision}: {run.summary['findings']}")
                if precision == "bf16":
                    unconfirmed += run.info.unconfirmed
                    again += sum(cost.again or 0 for cost in run.info.compute or ())
                for spec in suite.attacks:
                    for epsilon in suite.grid:
                        outcomes = sample_outcomes(run.facts, spec.id, epsilon.value)
                        alive = np.array([outcomes[i] for i in sorted(outcomes)])
                        standing.setdefault((precision, spec.id, epsilon.value), []).append(alive)
                print(f"seed {seed}, {precision}: {run.summary['seconds']:.0f} s", flush=True)
    cells: list[dict[str, Any]] = []
    for spec in suite.attacks:
        for epsilon in suite.grid:
            exact, low = (np.stack(standing[p, spec.id, epsilon.value]).astype(float) for p in ("float32", "bf16"))
            cells.append(
                {
                    "attack": spec.id,
                    "epsilon_label": epsilon.label,
                    "float32": float(exact.mean()),
                    "bf16": float(low.mean()),
                    "only_float32_breaks": int(((low == 1) & (exact == 0)).sum()),
                    "only_bf16_breaks": int(((low == 0) & (exact == 1)).sum()),
                    "upper_95": bound((low - exact).mean(0)),
                }
            )
    enough = arguments.n >= FEWEST and arguments.seeds >= SEEDS
    write(
        {
            "benchmark": "proposer",
            "model": arguments.model,
            "data": data.name,
            "suite": suite.label,
            "n": arguments.n,
            "seeds": arguments.seeds,
            **machine(arguments.device),
            "limit": LIMIT,
            "unconfirmed": unconfirmed,
            "again": again,
            "cells": cells,
            "passed": enough and all(cell["upper_95"] < LIMIT for cell in cells),
            "enough": enough,
        },
        arguments.output,
    )


if __name__ == "__main__":
    main()
