"""Models whose robust accuracy is known exactly: what the strongest attacks of each tool find, against the exact value.

::

    python benchmarks/known_answers.py                # a table; exit 1 if an attack is off
    python benchmarks/known_answers.py --quick        # fewer images and queries, as in the tests

Linear classifiers have a closed form in linf and l2; tiny ReLU networks are solved by integer programming
(`harness.testing.exact`; the tests compare the solver with an enumeration of all activation patterns). The harness
must not find more broken than can be broken (soundness), and a single tool may miss as many samples as `GAP` says
(completeness); a cell that is off is marked with an exclamation mark.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.base.threat import Epsilon, parse_grid
from harness.evidence.facts import BROKEN
from harness.inputs.suite import Suite
from harness.run.job import Options, evaluate
from harness.testing.exact import TinyNet, linear_worst, reach, relu_margins
from harness.types import AttackSpec, LoadedModel, Norm

GAP = 0.02
"""Share of the samples that one tool's strongest attacks may miss; all of them together, the worst case, none."""
ROUNDING = 1e-5
"""Margins nearer to zero than this are undecided: the harness predicts in float32, the exact answer is in float64."""
CLASSES, SHAPE = 5, (1, 4, 4)


@dataclass(frozen=True)
class Case:
    """A model with images and the function that gives its exact worst margins at an epsilon, [n]."""

    name: str
    norm: Norm
    model: nn.Module
    images: Tensor
    labels: Tensor
    worst: Callable[[float], np.ndarray]
    grid: tuple[Epsilon, ...]


class Rows:
    """The images of a case as a data set."""

    name, classes = "known", [str(label) for label in range(CLASSES)]

    def __init__(self, case: Case) -> None:
        self.images, self.labels = case.images, case.labels

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: Any) -> tuple[Tensor, Tensor]:
        """Images and labels in the order asked."""
        return self.images[list(indices)], self.labels[list(indices)]


class Linear(nn.Module):
    """A linear classifier of random weights for which gray images are in the middle."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        pixels = SHAPE[0] * SHAPE[1] * SHAPE[2]
        self.layer = nn.Linear(pixels, CLASSES)
        with torch.no_grad():
            self.layer.weight.copy_(torch.randn(CLASSES, pixels, generator=generator))
            self.layer.bias.copy_(-0.5 * self.layer.weight.sum(1))

    def forward(self, images: Tensor) -> Tensor:
        """Logits [n,classes]."""
        logits: Tensor = self.layer(images.flatten(1))
        return logits


def cases(n: int) -> list[Case]:
    """The models with `n` images each; clean accuracy is 100 % by construction."""
    generator = torch.Generator().manual_seed(1)
    everywhere = torch.rand(n, *SHAPE, generator=generator)
    inside = 0.25 + 0.5 * everywhere  # so that the l2 balls stay in the box
    found = []
    linear = Linear(seed=0).eval()
    for norm, images, grid in (
        ("linf", everywhere, ["4/255", "16/255", "48/255"]),
        ("l2", inside, ["0.05", "0.1", "0.2"]),
    ):
        labels = _labels(linear, images)

        def margins(epsilon: float, images: Tensor = images, labels: Tensor = labels, norm: Any = norm) -> np.ndarray:
            return linear_worst(linear.layer, images, labels, epsilon, norm)

        found.append(Case("linear", norm, linear, images, labels, margins, parse_grid(grid, norm)))  # type: ignore[arg-type]
    for seed, hidden in ((3, 6), (5, 8)):
        net = TinyNet(SHAPE[0] * SHAPE[1] * SHAPE[2], hidden, CLASSES, seed).eval()
        labels = _labels(net, everywhere)

        def solved(epsilon: float, net: TinyNet = net, labels: Tensor = labels) -> np.ndarray:
            return relu_margins(net, everywhere, labels, epsilon)

        grid = parse_grid(["4/255", "8/255", "16/255"])
        found.append(Case(f"relu-{hidden}", "linf", net, everywhere, labels, solved, grid))
    return found


@torch.no_grad()
def _labels(model: nn.Module, images: Tensor) -> Tensor:
    return model(images).argmax(1)


def attacks(norm: Norm, quick: bool) -> dict[str, list[AttackSpec]]:
    """The strongest attacks of each tool: on cross-entropy, and on differences of logits."""
    restarts = 2 if quick else 5
    pgd = {"steps": 50, "step_size": "epsilon/10", "random_start": True, "restarts": restarts}
    apgdt = {"steps": 50, "target_classes": CLASSES - 1, "eot": 1, "rho": 0.75, "restarts": restarts}
    apgd = {"steps": 50, "step_size": "2*epsilon", "loss": "dlr", "restarts": 2 * restarts}
    standard = {
        "components": ["apgd-ce", "apgd-t", "fab-t", "square"], "steps": 50, "eot": 1, "apgd_restarts": 1,
        "apgd_targets": CLASSES - 1, "fab_restarts": 1, "fab_targets": CLASSES - 1, "queries": 100,
        "larger_radii": False,
    }  # fmt: skip
    return {
        "torchattacks": [
            AttackSpec("pgd", "torchattacks", "pgd" if norm == "linf" else "pgdl2", pgd),
            AttackSpec("apgdt", "torchattacks", "apgdt", apgdt),
        ],
        "art": [AttackSpec("art/pgd", "art", "pgd", pgd), AttackSpec("art/apgd", "art", "apgd", apgd)],
        "autoattack": [AttackSpec("aa", "autoattack", "custom" if quick else "standard", standard if quick else {})],
    }


@dataclass(frozen=True)
class Answer:
    """What one tool found at one epsilon, against the truth."""

    case: Case
    tool: str
    epsilon: Epsilon
    n: int
    exact: float
    """Exact robust accuracy."""
    found: float
    """The harness's."""
    missed: int
    """Samples that can be broken and were not."""
    impossible: int
    """Samples that were broken though none can be: must be 0."""

    @property
    def ok(self) -> bool:
        """Whether it is sound and within the gap."""
        return self.impossible == 0 and self.missed <= (0 if self.tool == "all" else GAP * self.n)


def answers(case: Case, quick: bool) -> list[Answer]:
    """One answer for each tool and epsilon, and for all tools together."""
    specs = attacks(case.norm, quick)
    suite = Suite(
        name="known",
        version=1,
        norm=case.norm,
        grid=case.grid,
        mode="observed",
        chunk=len(case.images),
        attacks=tuple(spec for some in specs.values() for spec in some),
    )
    model = LoadedModel(f"{case.name}-{case.norm}", case.model, CLASSES)
    with tempfile.TemporaryDirectory() as folder:
        options = Options(Path(folder), device="cpu", batch_size=len(case.images), witnesses="none")
        table = evaluate(model, suite, Rows(case), options).facts
    rows = [row for row in table.to_pylist() if row["component"] is None]
    found = []
    for epsilon in case.grid:
        exact = case.worst(epsilon.value)
        union = np.zeros(len(exact), bool)
        for tool, some in specs.items():
            names = {spec.id for spec in some}
            mine = [row for row in rows if row["attack"] in names and row["epsilon"] == epsilon.value]
            broken = np.zeros(len(exact), bool)
            broken[[row["sample_id"] for row in mine if row["outcome"] in BROKEN]] = True
            union |= broken
            found.append(_answer(case, tool, epsilon, exact, broken))
        found.append(_answer(case, "all", epsilon, exact, union))
    return found


def _answer(case: Case, tool: str, epsilon: Epsilon, exact: np.ndarray, broken: np.ndarray) -> Answer:
    doubtful = broken & (exact <= -ROUNDING)
    if doubtful.any():  # the harness accepts witnesses that are further away by its rounding slack
        doubtful &= case.worst(reach(epsilon.value, case.norm)) <= -ROUNDING
    missed = int(((exact > ROUNDING) & ~broken).sum())
    robust = float((exact <= 0).mean())
    return Answer(case, tool, epsilon, len(exact), robust, float(1 - broken.mean()), missed, int(doubtful.sum()))


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=100, help="images a model")
    parser.add_argument("--quick", action="store_true", help="24 images, weaker attacks")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("| model | norm | epsilon | n | exact, % | torchattacks | ART | AutoAttack | worst case |")
    print("|---|---|---|---|---|---|---|---|---|")
    good = True
    for case in cases(24 if given.quick else given.n):
        found = answers(case, given.quick)
        good &= all(answer.ok for answer in found)
        for epsilon in case.grid:
            row = [answer for answer in found if answer.epsilon == epsilon]
            shown = " | ".join(f"{100 * a.found:.1f}" + ("" if a.ok else " !") for a in row)
            head = f"| {case.name} | {case.norm} | {epsilon} | {row[0].n} | {100 * row[0].exact:.1f} |"
            print(head, shown, "|", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
