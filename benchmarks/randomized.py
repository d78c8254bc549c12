"""Randomized models: does the vote hold its majority at a radius of nothing, and what does a vote cost?

    python benchmarks/randomized.py [--n 200] [--draws 100] [--shares 0.2,0.3] [--steps 4,20,100] [--epsilons 1e-5]

Trains one small network on the bundled signs (a minute), whose dropout is never switched off, as in Monte Carlo
dropout, and runs PGD with and without draws; dropout 0 is the deterministic network of the same weights. Prints a row
for each, as Markdown, and what candidates cost.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, dropout

from harness import evaluate
from harness.base.threat import parse_grid
from harness.inputs.draws import Draws, Trial
from harness.inputs.find import find_data
from harness.inputs.suite import Suite
from harness.types import AttackSpec

WIDTH, HIDDEN, CLASSES = 24, 192, 43


class Net(nn.Module):
    """Two convolutions and a hidden layer; dropout of `share` before both linear layers, also when it predicts."""

    def __init__(self) -> None:
        super().__init__()
        self.share = 0.0
        self.body = nn.Sequential(
            nn.Conv2d(3, WIDTH, 5, 2, 2), nn.ReLU(), nn.Conv2d(WIDTH, 2 * WIDTH, 5, 2, 2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(),
        )  # fmt: skip
        self.hidden = nn.Linear(2 * WIDTH * 16, HIDDEN)
        self.head = nn.Linear(HIDDEN, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [n,43]."""
        features = self.hidden(dropout(self.body(images - 0.5), self.share, training=self.share > 0)).relu()
        logits: Tensor = self.head(dropout(features, self.share, training=self.share > 0))
        return logits


def trained(epochs: int) -> Net:
    """The network after `epochs` on 4,000 of the bundled training signs, with dropout of .2."""
    torch.manual_seed(0)
    data, net = find_data("signs:4000", None, "train"), Net()
    net.share = 0.2
    images, labels = data.take(range(len(data)))
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(100):
            optimizer.zero_grad()
            cross_entropy(net(images[rows]), labels[rows]).backward()
            optimizer.step()
    return net.eval()


@contextmanager
def counted() -> Iterator[dict[bool, Counter[str]]]:
    """Counts candidates and their votes, by whether they were accepted."""
    told: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    original = Draws.trial

    def trial(self: Draws, *args: Any, **options: Any) -> Trial:
        done = original(self, *args, **options)
        told[done.accepted].update(candidates=1, votes=done.votes)
        return done

    Draws.trial = trial  # type: ignore[method-assign]
    try:
        yield told
    finally:
        Draws.trial = original  # type: ignore[method-assign]


def suite(steps: list[int], epsilons: list[str]) -> Suite:
    """PGD of so many steps, one attack each."""
    params = {"step_size": "epsilon/4", "random_start": True}
    return Suite(
        name="steps", version=1, norm="linf", grid=parse_grid(epsilons, "linf"), mode="observed", chunk=512,
        attacks=tuple(AttackSpec(f"pgd-{n}", "torchattacks", "pgd", {**params, "steps": n}) for n in steps),
    )  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--shares", default="0.2,0.3")
    parser.add_argument("--steps", default="4,20,100")
    parser.add_argument("--epsilons", default="1e-5")
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    net, data, epsilons = trained(options.epochs), find_data("signs"), options.epsilons.split(",")
    chosen = suite([int(steps) for steps in options.steps.split(",")], epsilons)
    columns = [f"{attack.id} at {epsilon}" for attack in chosen.attacks for epsilon in epsilons]
    columns += ["forwards", "accepted", "votes each", "dropped", "votes each", "processor s"]
    print("| dropout | draws | clean | " + " | ".join(columns) + " |\n" + "|---" * (3 + len(columns)) + "|", flush=True)
    for share in [0.0, *map(float, options.shares.split(","))]:
        net.share = share
        for draws in (None, options.draws) if share else (None,):
            with tempfile.TemporaryDirectory() as folder, counted() as told:
                begun = time.process_time()
                result = evaluate(
                    net, chosen, data, n=options.n, draws=draws, results=Path(folder),
                    device="cpu", precision="exact", batch_size=128, progress=False,
                )  # fmt: skip
                spent = time.process_time() - begun
            cells, clean = result.summary["cells"], result.summary["clean"]["accuracy"]
            votes = sum(one["votes"] for one in told.values())
            forwards = sum(cell["forwards"] for cell in cells) + options.n * (draws or 1) + votes
            row = [f"{share:g}", str(draws or "–"), f"{100 * clean:.1f}"]
            row += [f"{100 * cell['robust_accuracy']:.1f}" for cell in cells] + [f"{forwards:,}"]
            for one in told.values():
                row += [f"{one['candidates']:,}", f"{one['votes'] / max(1, one['candidates']):.1f}"]
            print("| " + " | ".join([*row, f"{spent:.1f}"]) + " |", flush=True)


if __name__ == "__main__":
    main()
