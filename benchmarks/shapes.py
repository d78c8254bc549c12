"""Networks of common shapes, where nearly all samples survive and where nearly all break: harness against bare tool.

::

    python benchmarks/shapes.py -o benchmarks/results/shapes.json
    python benchmarks/shapes.py --shape "MNIST CNN 16-32" --against torchattacks,art,autoattack --rounds 5
    python benchmarks/shapes.py --against attackbench   # after: pip install attackbenchlib
    python benchmarks/shapes.py --shape "MNIST CNN 16-32" --against autoattack --state survive -n 64 --profile

One epsilon, PGD-20 with the parameters of the suites (``autoattack``: pyautoattack's version ``standard``). Harness and
tools run in turn in one process, on the same samples and batch; every second is one of this thread's processor. The
harness's time is that of a whole run, with preflight, calibration (in the first round) and storage. Pictures are the
bundled signs and labels are what the network predicts, so that all samples are attacked; the two epsilons follow from
the margins' gradients: where hardly a sample can break, and where hardly one can stand.

``attackbench`` is torchattacks' PGD in a run of the library ``attackbenchlib``, whose observer judges every query, too,
at the batch of 128 that its loaders take: it compares each query with all images of the batch, so that 256 cost more.
"""

from __future__ import annotations

import argparse
import copy
import cProfile
import importlib.metadata
import os
import pstats
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from common import Clock, machine, own_cache, write
from nets import SHAPES, build
from tools import PGD, bare_art, bare_autoattack
from torch import Tensor, nn

from harness.base.randomness import forked
from harness.base.threat import Epsilon, parse_epsilon
from harness.evidence.structs import as_json
from harness.inputs.find import find_data
from harness.inputs.reference import margins
from harness.inputs.samples import Slice, make_slice
from harness.inputs.suite import Suite
from harness.run.job import Options, evaluate
from harness.types import AttackSpec, LoadedModel

SIZES: Mapping[str, int] = {"MLP 256-256": 8192, "MNIST CNN 16-32": 4096, "ViT, timm": 128}
STATES = ("survive", "break")
BATCH = 256


class Pictures:
    """At least `n` signs in a network's shape, labeled by the network."""

    def __init__(self, name: str, network: nn.Module, n: int) -> None:
        _, shape, classes = SHAPES[name]
        self.name = f"signs, labels of {name}"
        self.classes: Sequence[str] = [str(label) for label in range(classes)]
        self.images = pictures(shape, n)
        self.labels = predictions(network, self.images)

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Images float32 [n,C,H,W] in [0,1] and labels int64 [n]."""
        rows = torch.as_tensor(list(indices), dtype=torch.int64)
        return self.images[rows], self.labels[rows]


def pictures(shape: tuple[int, int, int], n: int) -> Tensor:
    """The bundled signs as float32 images of `shape` in [0,1]; again with noise until there are at least `n`."""
    signs = find_data("signs", None)
    images, _ = signs.take(range(len(signs)))
    if shape[0] == 1:
        images = images.mean(1, keepdim=True)
    images = F.interpolate(images, shape[1:], mode="area")
    noise = torch.Generator().manual_seed(0)
    more = [images + 0.05 * torch.randn(images.shape, generator=noise) for _ in range((n - 1) // len(images))]
    return torch.cat([images, *more]).clamp(0, 1)


def radii(network: nn.Module, part: Slice) -> dict[str, Epsilon]:
    """An epsilon at which nearly all samples survive, and one at which nearly all break, by the margins' gradients."""
    reach = []
    for start in range(0, len(part.indices), BATCH):
        images, labels = part.data.take(part.indices[start : start + BATCH].tolist())
        images.requires_grad_()
        margin = margins(network(images), labels)
        (gradient,) = torch.autograd.grad(margin.sum(), images)
        reach.append((-margin / gradient.flatten(1).abs().sum(1)).detach())
    near = torch.cat(reach)
    low, high = float(near.quantile(0.02)) / 2, float(near.quantile(0.98)) * 4
    return {"survive": parse_epsilon(f"{low:.2g}"), "break": parse_epsilon(f"{min(high, 0.5):.2g}")}


def bare_pgd(network: nn.Module, images: Tensor, labels: Tensor, epsilon: Epsilon, batch: int) -> Tensor:
    """A plain loop over torchattacks."""
    attack = _pgd(epsilon)
    pieces = zip(images.split(batch), labels.split(batch), strict=True)
    return torch.cat([attack(network, x, y) for x, y in pieces])


def _pgd(epsilon: Epsilon) -> Callable[[nn.Module, Tensor, Tensor], Tensor]:
    import torchattacks

    def attack(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
        tool = torchattacks.PGD(model, eps=epsilon.value, alpha=epsilon.value / 4, steps=20, random_start=True)
        made: Tensor = tool(inputs, labels)
        return made

    return attack


def by_attackbench(network: nn.Module, images: Tensor, labels: Tensor, epsilon: Epsilon) -> Tensor:
    """Who stands, bool [n], by what the library's observer found."""
    from attackbench import run_attack
    from torch.utils.data import DataLoader, TensorDataset

    loader = DataLoader(TensorDataset(images, labels), batch_size=128)
    own = copy.deepcopy(network)  # its hooks stay on what it attacked
    with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
        told = run_attack(own, loader, _pgd(epsilon), "linf", device=images.device, seed=0)
    return torch.tensor(told["distances"]["linf"]).isinf()


def by_loop(make: Callable[..., Tensor]) -> Callable[[nn.Module, Tensor, Tensor, Epsilon], Tensor]:
    """Who stands, bool [n], after what `make` returns for the images that are right."""

    def loop(network: nn.Module, images: Tensor, labels: Tensor, epsilon: Epsilon) -> Tensor:
        stands = predictions(network, images) == labels
        with forked(0):
            made = make(network, images[stands], labels[stands], epsilon, BATCH)
        stands[stands.clone()] = predictions(network, made) == labels[stands]
        return stands

    return loop


def predictions(network: nn.Module, images: Tensor) -> Tensor:
    """Classes [n] of `images` [n,C,H,W]."""
    with torch.no_grad():
        return torch.cat([network(piece).argmax(1) for piece in images.split(BATCH)])


PGD_20 = AttackSpec("pgd-20", "torchattacks", "pgd", PGD)
AGAINST: dict[str, tuple[Callable[[nn.Module, Tensor, Tensor, Epsilon], Tensor], AttackSpec]] = {
    "torchattacks": (by_loop(bare_pgd), PGD_20),
    "art": (by_loop(bare_art), AttackSpec("art/pgd-20", "art", "pgd", PGD)),
    "attackbench": (by_attackbench, PGD_20),
    "autoattack": (by_loop(bare_autoattack), AttackSpec("autoattack", "autoattack", "standard", {})),
}
"""What runs alone, and what the harness runs beside it."""


def bare(tool: str, network: nn.Module, part: Slice, epsilon: Epsilon) -> tuple[float, float]:
    """Seconds and robust accuracy of the tool alone, its clean and robust forwards included."""
    images, labels = part.data.take(part.indices.tolist())
    with Clock("cpu") as clock:
        stands = AGAINST[tool][0](network, images, labels, epsilon)
    return clock.seconds, float(stands.sum()) / len(labels)


def ours(tool: str, model: LoadedModel, part: Slice, epsilon: Epsilon, mode: str) -> tuple[float, Any]:
    """Seconds and the run of the harness."""
    spec = AGAINST[tool][1]
    suite = Suite(name="shapes", version=1, norm="linf", grid=(epsilon,), mode=mode, chunk=512, attacks=(spec,))
    with tempfile.TemporaryDirectory() as folder, Clock("cpu") as clock:
        options = Options(Path(folder), n=len(part.indices), device="cpu", batch_size=BATCH, force=True)
        run = evaluate(model, suite, part.data, options)
    return clock.seconds, run


def profiled(run: Callable[[], object]) -> None:
    """Print where the thread's time goes."""
    profile = cProfile.Profile(time.thread_time)
    profile.runcall(run)
    pstats.Stats(profile).sort_stats("tottime").print_stats(20).sort_stats("cumtime").print_stats(60)


def measure(
    name: str, tools: Sequence[str], states: Sequence[str], n: int, rounds: int, mode: str, profile: bool = False
) -> list[dict[str, Any]]:
    """One row for each tool and state; a `profile` is printed of one more round."""
    _, shape, classes = SHAPES[name]
    network = build(name, pictures(shape, BATCH)[:BATCH])
    model = LoadedModel(name, network, classes, shape)
    part = make_slice(Pictures(name, network, n), n, 512)
    rows = []
    for state, epsilon in radii(network, part).items():
        for tool in tools if state in states else ():
            with own_cache():
                pairs = []
                for _ in range(rounds):
                    theirs, stands = bare(tool, network, part, epsilon)
                    mine, run = ours(tool, model, part, epsilon, mode)
                    pairs.append((theirs, mine))
                if profile:
                    profiled(partial(bare, tool, network, part, epsilon))
                    profiled(partial(ours, tool, model, part, epsilon, mode))
            bare_s, harness_s = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
            cell = run.summary["cells"][0]
            row = {
                "shape": name,
                "state": state,
                "tool": tool,
                "epsilon": epsilon.value,
                "n": len(part.indices),
                "bare_s": [round(pair[0], 3) for pair in pairs],
                "harness_s": [round(pair[1], 3) for pair in pairs],
                "speedup": bare_s / harness_s,
                "robust": {"bare": stands, "harness": cell["robust_accuracy"]},
                "backwards": cell["backwards"],
                "plan": as_json(run.info.plan),
            }
            rows.append(row)
            print(f"{name}, {state}, {tool}: {row['speedup']:.3f} {pairs} {row['robust']}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", action="append", choices=SHAPES)
    parser.add_argument("--against", default="torchattacks", help=", ".join(AGAINST))
    parser.add_argument("--state", action="append", choices=STATES)
    parser.add_argument("-n", type=int, help="samples; default by shape")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="print where the time goes, of both")
    parser.add_argument("--mode", default="observed", choices=["observed", "faithful"])
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    tools = arguments.against.split(",")
    rows = []
    for name in arguments.shape or SHAPES:
        n = arguments.n or SIZES.get(name, 256)
        states = arguments.state or STATES
        rows += measure(name, tools, states, n, arguments.rounds, arguments.mode, arguments.profile)
    report = {"benchmark": "shapes", "mode": arguments.mode, "batch": BATCH, **machine("cpu"), "rows": rows}
    if "attackbench" in tools:
        report["versions"]["attackbenchlib"] = importlib.metadata.version("attackbenchlib")
    write(report, arguments.output)


if __name__ == "__main__":
    main()
