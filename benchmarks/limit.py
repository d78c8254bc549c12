"""The bare limit: how many input gradients a second this machine does, and what share of it the harness turns into use.

::

    python benchmarks/limit.py --model trades --data gtsrb --data-root DIR -n 256 -o benchmarks/results/limit-X.json

The limit is the fastest loop of forward and input gradient over the batch sizes 32 to 512, of the model itself and of
the copies that the harness can make of it in a precision. Against it stand the useful gradients of one PGD run divided
by the seconds of its attack units: all else that happens there (judging, confirming, the tool's own arithmetic) is
overhead.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from common import Clock, machine, model_parser, own_cache, write
from torch import Tensor, nn

from harness.base.threat import parse_grid
from harness.base.torch_state import arithmetic
from harness.inputs.find import find_data, find_model
from harness.inputs.reference import ReferenceModel
from harness.inputs.samples import make_slice
from harness.inputs.suite import Suite
from harness.measure.fast_copy.copies import CopyRecipe, prepare, useful_speedups
from harness.run.job import Options, evaluate
from harness.run.plan import recipe_of
from harness.types import AttackSpec

SIZES = (32, 64, 128, 256, 512)


def gradients_per_second(network: nn.Module, images: Tensor, size: int, device: str) -> float:
    rows = images[:size].clone().requires_grad_()
    with Clock(device) as clock:
        torch.autograd.grad(network(rows).sum(), rows)
    return len(rows) / clock.seconds


def main() -> None:
    parser = model_parser(__doc__, n=256)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    device = arguments.device

    model = find_model(arguments.model)
    part = make_slice(find_data(arguments.data, arguments.data_root), max(arguments.n, SIZES[-1]), 512)
    images = part.take(0)[0].to(device)
    limits: dict[str, dict[str, float]] = {}
    with ReferenceModel(model, device) as reference:
        speedups = useful_speedups(reference, images[:2])
        recipes = [CopyRecipe(), CopyRecipe(speedups), CopyRecipe(speedups, True), CopyRecipe(speedups, True, "bf16")]
        networks = {r: reference.module if r.exact else prepare(reference, r, images[:64]) for r in recipes}
        for _ in range(arguments.rounds):  # in turn, so that all see the same disturbances
            for recipe, network in networks.items():
                for size in SIZES:
                    with arithmetic(recipe.precision):
                        speed = gradients_per_second(network, images, size, device)
                    best = limits.setdefault(str(recipe), {})
                    best[str(size)] = max(best.get(str(size), 0.0), speed)
    spec = AttackSpec("pgd-20", "torchattacks", "pgd", {"steps": 20, "step_size": "epsilon/4", "random_start": True})
    suite = Suite(
        name="limit", version=1, norm="linf", grid=parse_grid(["2/255"]), mode="observed", chunk=512, attacks=(spec,)
    )
    shares = {}
    for precision in ("exact", "float32", "bf16"):
        with own_cache(), tempfile.TemporaryDirectory() as folder:
            options = Options(
                Path(folder),
                n=arguments.n,
                seed=0,
                device=device,
                batch_size=min(256, arguments.n),
                precision=precision,
            )
            with Clock(device) as clock:
                run = evaluate(model, suite, part.data, options)
        (cost,) = run.info.compute or ()
        # Units are timed by the wall; of the processor's time they have the same share.
        seconds = cost.seconds * clock.seconds / clock.wall
        recipe = recipe_of(run.info.planned)
        speed = cost.useful / seconds
        same = [r for r in recipes if (r.exact, r.precision) == (recipe.exact, recipe.precision)]
        shares[precision] = {
            "recipe": str(recipe),
            "useful_per_second": speed,
            "useful_gradients": run.summary["cells"][0]["useful_gradients"],
            "of_limit": speed / max(fast for r in same for fast in limits[str(r)].values()),
        }
    write(
        {
            "benchmark": "limit",
            "model": arguments.model,
            "data": part.data.name,
            "n": arguments.n,
            **machine(device),
            "gradients_per_second": limits,
            "harness": shares,
        },
        arguments.output,
    )


if __name__ == "__main__":
    main()
