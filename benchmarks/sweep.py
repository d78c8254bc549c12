"""PGD over an epsilon grid: the harness against a plain loop over torchattacks.PGD with the same parameters.

Both are timed in turn in one process, on the same samples and batch, and what only one of the two breaks is counted::

    python benchmarks/sweep.py --model trades --data gtsrb --data-root DIR -n 512 -o benchmarks/results/sweep-X.json

The loop does what a careful user would write: predict the clean images, attack all correct ones at every epsilon,
predict what came back. The harness's time is that of `harness.run.job.evaluate` whole, with preflight, calibration (in
the first round) and storage of facts and witnesses. ``--mode faithful`` measures what the harness adds to the tool;
``--mode bisection`` halves the grid instead of climbing it.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import torch
import torchattacks
from common import Clock, machine, model_parser, own_cache, write

from harness.base.randomness import derive, forked
from harness.base.threat import parse_grid
from harness.evidence.metrics import clean_accuracy, sample_outcomes
from harness.evidence.structs import as_json
from harness.inputs.find import find_data, find_model
from harness.inputs.samples import Slice, make_slice
from harness.inputs.suite import Suite
from harness.run.job import Options, evaluate
from harness.types import AttackSpec, LoadedModel


def bare(
    model: LoadedModel, part: Slice, suite: Suite, seed: int, batch: int, device: str
) -> dict[str, dict[int, bool]]:
    """Which samples are classified correctly and survive, for each epsilon, by a plain loop over the tool."""
    network = model.module.to(device).eval().requires_grad_(False)
    params = suite.attacks[0].params
    survived: dict[str, dict[int, bool]] = {epsilon.label: {} for epsilon in suite.grid}
    for start in range(0, len(part.indices), batch):
        ids = part.indices[start : start + batch].tolist()
        images, labels = (tensor.to(device) for tensor in part.data.take(ids))
        with torch.no_grad():
            right = network(images).argmax(1) == labels
        for epsilon in suite.grid:
            with forked(derive(seed, "bare", epsilon.value, start)):
                attack = torchattacks.PGD(
                    network, eps=epsilon.value, alpha=epsilon.value / 4, steps=params["steps"], random_start=True
                )
                adversarial = attack(images[right], labels[right])
            with torch.no_grad():
                stands = network(adversarial).argmax(1) == labels[right]
            alive = iter(stands.tolist())
            outcome = [next(alive) if correct else False for correct in right.tolist()]
            survived[epsilon.label].update(zip(ids, outcome, strict=True))
    return survived


def main() -> None:
    parser = model_parser(__doc__, n=512)
    parser.add_argument("--eps", default="1/255,2/255,4/255,8/255")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--mode", default="observed", choices=["observed", "bisection", "faithful"])
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()

    model = find_model(arguments.model)
    params = {"steps": arguments.steps, "step_size": "epsilon/4", "random_start": True, "restarts": 1}
    grid = parse_grid(arguments.eps.split(","), "linf")
    spec = AttackSpec(f"pgd-{arguments.steps}", "torchattacks", "pgd", params)
    suite = Suite(name="sweep", version=1, norm="linf", grid=grid, mode=arguments.mode, chunk=512, attacks=(spec,))
    part = make_slice(find_data(arguments.data, arguments.data_root), arguments.n, suite.chunk)
    rows, plan = [], None
    with own_cache():
        for seed in range(arguments.seeds):
            with Clock(arguments.device) as loop:
                theirs = bare(model, part, suite, seed, arguments.batch, arguments.device)
            with tempfile.TemporaryDirectory() as folder, Clock(arguments.device) as harness:
                options = Options(
                    Path(folder),
                    n=arguments.n,
                    seed=seed,
                    device=arguments.device,
                    batch_size=arguments.batch,
                    precision=arguments.precision,
                )
                run = evaluate(model, suite, part.data, options)
            plan, cells = as_json(run.info.plan), {}
            for epsilon in suite.grid:
                ours = sample_outcomes(run.facts, spec.id, epsilon.value)
                cells[epsilon.label] = {
                    "harness": sum(ours.values()) / len(ours),
                    "bare": sum(theirs[epsilon.label].values()) / len(ours),
                    "only_harness_breaks": sum(theirs[epsilon.label][i] and not ours[i] for i in ours),
                    "only_bare_breaks": sum(ours[i] and not theirs[epsilon.label][i] for i in ours),
                }
            rows.append(
                {
                    "seed": seed,
                    "bare_s": loop.seconds,
                    "harness_s": harness.seconds,
                    "bare_wall_s": loop.wall,
                    "harness_wall_s": harness.wall,
                    "bare_backwards": clean_accuracy(run.facts)[0] * arguments.steps * len(grid),
                    "backwards": sum(cell["backwards"] for cell in run.summary["cells"]),
                    "unconfirmed": run.info.unconfirmed,
                    "cells": cells,
                }
            )
            print(f"seed {seed}: {loop.seconds / harness.seconds:.2f}", flush=True)
    write(
        {
            "benchmark": "faithful" if arguments.mode == "faithful" else "sweep",
            "mode": arguments.mode,
            "model": arguments.model,
            "data": part.data.name,
            "n": arguments.n,
            "batch": arguments.batch,
            "steps": arguments.steps,
            "grid": [epsilon.label for epsilon in grid],
            "plan": plan,
            **machine(arguments.device),
            "rows": rows,
            "speedup": statistics.median(row["bare_s"] / row["harness_s"] for row in rows),
        },
        arguments.output,
    )


if __name__ == "__main__":
    main()
