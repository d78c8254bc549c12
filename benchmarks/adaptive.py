"""Training that hides gradients, and what ``--adapt auto`` makes of it: networks of MNIST's size on gray signs.

    python benchmarks/adaptive.py [--n 200] [--epsilons 8/255,0.1] [--epochs 12] [--only distilled]

Trains a few small networks on the bundled signs, gray and 28x28, in ways that are known to flatter attacks on
gradients, measures each under FGSM, PGD-20 and Square, and again with the adapted attacks that the findings suggest.
Prints a row for each network and epsilon, as Markdown.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from harness import Result, evaluate
from harness.base.threat import parse_grid
from harness.inputs.find import find_data
from harness.inputs.suite import Suite
from harness.types import AttackSpec

CLASSES, IMAGES, BATCH = 43, 4000, 100
TEMPERATURE = 100.0
"""Of Papernot et al. 2016 (arXiv:1511.04508), where it hid most; broken by Carlini and Wagner (arXiv:1608.04644)."""
STEP = 0.1
"""Of training on single steps without a random start."""

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]


def network(scale: float) -> nn.Module:
    """Two convolutions and two linear layers, the last `scale` times as large: images [n,1,28,28] to logits [n,43]."""
    net = nn.Sequential(
        nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(32 * 7 * 7, 100), nn.ReLU(), nn.Linear(100, CLASSES),
    )  # fmt: skip
    with torch.no_grad():
        for weights in net[-1].parameters():
            weights *= scale
    return net


def gray(name: str, split: str) -> tuple[Tensor, Tensor]:
    """Images [n,1,28,28] in [0,1] and labels [n] of a data set of signs."""
    data = find_data(name, None, split)
    images, labels = data.take(range(len(data)))
    smaller = interpolate(images.mean(1, keepdim=True), size=28, mode="bilinear", antialias=True)
    return smaller.clamp(0, 1), labels


def fit(loss: Loss, images: Tensor, labels: Tensor, epochs: int, scale: float = 1.0) -> nn.Module:
    """A network after `epochs` of Adam on a loss; its last layer starts `scale` times as large as usual."""
    torch.manual_seed(0)
    net = network(scale)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad()
            loss(net, images[rows], labels[rows]).backward()
            optimizer.step()
    return net.eval().requires_grad_(False)


def plain(net: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy."""
    return cross_entropy(net(images), labels)


def single_step(net: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Half on images as they are, half one signed step of `STEP` away (Kurakin et al. 2017, arXiv:1611.01236)."""
    start = images.clone().requires_grad_()
    loss = cross_entropy(net(start), labels)
    (gradient,) = torch.autograd.grad(loss, start, retain_graph=True)
    return (loss + cross_entropy(net((images + STEP * gradient.sign()).clamp(0, 1)), labels)) / 2


def softened(net: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy at `TEMPERATURE`; labels are classes or distributions."""
    return cross_entropy(net(images) / TEMPERATURE, labels)


def distilled(images: Tensor, labels: Tensor, epochs: int) -> nn.Module:
    """A network taught by another's answers, both at `TEMPERATURE`; it predicts at 1, where its softmax saturates."""
    teacher = fit(softened, images, labels, epochs, TEMPERATURE)
    with torch.no_grad():
        soft = torch.softmax(teacher(images) / TEMPERATURE, 1)
    return fit(softened, images, soft, epochs, TEMPERATURE)


TRAINED: dict[str, Callable[[Tensor, Tensor, int], nn.Module]] = {
    "standard": lambda images, labels, epochs: fit(plain, images, labels, epochs),
    f"single steps of {STEP}": lambda images, labels, epochs: fit(single_step, images, labels, epochs),
    f"distilled at {TEMPERATURE:g}": distilled,
}


def suite(epsilons: list[str]) -> Suite:
    """FGSM, PGD-20 and Square with 200 queries."""
    pgd = {"steps": 20, "step_size": "epsilon/4", "random_start": True}
    attacks = (
        AttackSpec("fgsm", "torchattacks", "fgsm", {}),
        AttackSpec("pgd-20", "torchattacks", "pgd", pgd),
        AttackSpec("square-200", "autoattack", "square", {"queries": 200}),
    )
    grid = parse_grid(epsilons, "linf")
    return Suite(name="gray", version=1, norm="linf", grid=grid, mode="observed", chunk=512, attacks=attacks)


def measure(net: nn.Module, chosen: Suite, data: tuple[Tensor, Tensor], n: int, adapt: str, folder: Path) -> Result:
    """One run; what the doctor refuses is measured all the same, for that is what is to be seen."""
    return evaluate(
        net, chosen, data, n=n, adapt=adapt, results=folder, device="cpu", precision="exact", batch_size=100,
        force=True, progress=False,
    )  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--epsilons", default="8/255,0.1")
    parser.add_argument("--only", default="", help="a part of a training's name")
    options = parser.parse_args()
    images, labels = gray(f"signs:{IMAGES}", "train")
    data, chosen = gray("signs", "test"), suite(options.epsilons.split(","))
    names = [attack.id for attack in chosen.attacks]
    columns = ["training", "clean", "epsilon", *names, "worst case", "adapted", "findings", "tried", "processor s"]
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|", flush=True)
    for name, train in TRAINED.items():
        if options.only not in name:
            continue
        net = train(images, labels, options.epochs)
        with tempfile.TemporaryDirectory() as folder:
            times = [time.process_time()]
            runs = []
            for adapt in ((), "auto"):
                runs.append(measure(net, chosen, data, options.n, adapt, Path(folder)))
                times.append(time.process_time())
        before, after = (run.summary for run in runs)
        tried = [cell["attack"] for cell in after["cells"] if cell.get("adapt")]
        said = sorted({f["check"] for f in before["findings"] if f["level"] in ("warn", "error", "refuse")})
        for place, label in enumerate(before["grid"]):
            cells = {c["attack"]: c["robust_accuracy"] for c in before["cells"] if c["epsilon_label"] == label}
            worst = [told["worst_case"][place]["robust_accuracy"] for told in (before, after)]
            shown = [before["clean"]["accuracy"], *(cells[one] for one in names), *worst]
            first, *rest = ["–" if value is None else f"{100 * value:.1f}" for value in shown]
            row = [name, first, label, *rest, " ".join(said) or "none", ", ".join(dict.fromkeys(tried)) or "none"]
            print(
                "| " + " | ".join([*row, f"{times[1] - times[0]:.1f} + {times[2] - times[1]:.1f}"]) + " |", flush=True
            )


if __name__ == "__main__":
    main()
