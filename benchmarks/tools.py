"""AutoAttack and ART: the harness against the tools run bare, side by side in one process on the same samples.

::

    python benchmarks/tools.py autoattack --model trades --data gtsrb --data-root DIR -n 64 --eps 8/255
    python benchmarks/tools.py art-pgd --model trades --data gtsrb --data-root DIR -n 128 --eps 8/255
    python benchmarks/tools.py art-pgd-batch --model trades --data gtsrb --data-root DIR -n 128 --eps 8/255

``autoattack`` runs pyautoattack's version ``standard`` with the same batch and run seed. ``art-pgd`` runs ART's PGD as
its documentation shows it (a classifier, ``generate(x, y)``, its default batch of 32), with the parameters of the
harness's suite; ``art-pgd-batch`` is the same at the harness's batch size. Forwards and backwards of the bare tool are
counted by a hook on the network; the harness's are those of its facts, its time is that of a whole run with storage.
The tools are imported before anything is timed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Clock, machine, model_parser, own_cache, write
from torch import Tensor, nn

from harness.base.randomness import forked
from harness.base.threat import Epsilon, parse_epsilon
from harness.evidence.metrics import sample_outcomes
from harness.evidence.structs import as_json
from harness.inputs.find import find_data, find_model
from harness.inputs.samples import make_slice
from harness.inputs.suite import Suite
from harness.run.job import Options, evaluate
from harness.types import AttackSpec

PGD = {"steps": 20, "step_size": "epsilon/4", "random_start": True}


class Counting(nn.Module):
    """A network that counts rows forward and back."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.forwards = self.backwards = 0

    def forward(self, images: Tensor) -> Tensor:
        self.forwards += len(images)
        logits: Tensor = self.network(images)
        if logits.requires_grad:
            logits.register_hook(self._back)
        return logits

    def _back(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)


def bare_autoattack(network: nn.Module, images: Tensor, labels: Tensor, epsilon: Epsilon, batch: int) -> Tensor:
    """As the tool's README runs it."""
    from pyautoattack import AutoAttack

    device = images.device
    attack = AutoAttack(network, norm="Linf", eps=epsilon.value, seed=0, version="standard", device=device)
    adversarial, _ = attack.run_standard_evaluation(images, labels, batch_size=batch)
    return adversarial.to(device)


def bare_art(network: nn.Module, images: Tensor, labels: Tensor, epsilon: Epsilon, batch: int = 32) -> Tensor:
    """As ART's examples run it: default batch, labels given so that it does not take the model's own predictions."""
    from art.attacks.evasion import ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    classifier = PyTorchClassifier(
        network,
        nn.CrossEntropyLoss(),
        input_shape=tuple(images.shape[1:]),
        nb_classes=int(network(images[:1]).shape[1]),
        clip_values=(0.0, 1.0),
        device_type="gpu" if images.device.type == "cuda" else "cpu",
    )
    attack = ProjectedGradientDescent(
        classifier,
        eps=epsilon.value,
        eps_step=epsilon.value / 4,
        max_iter=20,
        num_random_init=1,
        batch_size=batch,
        verbose=False,
    )
    return torch.from_numpy(attack.generate(images.cpu().numpy(), labels.cpu().numpy())).to(images.device)


KINDS: dict[str, tuple[Callable[..., Tensor], AttackSpec]] = {
    "autoattack": (bare_autoattack, AttackSpec("autoattack", "autoattack", "standard", {})),
    "art-pgd": (lambda *a: bare_art(*a[:4]), AttackSpec("art/pgd-20", "art", "pgd", PGD)),
    "art-pgd-batch": (bare_art, AttackSpec("art/pgd-20", "art", "pgd", PGD)),
}


def main() -> None:
    parser = model_parser(__doc__, n=64)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--eps", default="8/255")
    parser.add_argument("--batch", type=int, default=256)
    arguments = parser.parse_args()
    run_bare, spec = KINDS[arguments.kind]
    epsilon = parse_epsilon(arguments.eps)

    model = find_model(arguments.model)
    part = make_slice(find_data(arguments.data, arguments.data_root), arguments.n, 512)
    images, labels = part.take(0)
    images, labels = images.to(arguments.device), labels.to(arguments.device)
    for module in ("pyautoattack", "art.attacks.evasion", "art.estimators.classification"):
        import_module(module)
    counting = Counting(model.module.to(arguments.device).eval().requires_grad_(False))
    with Clock(arguments.device) as loop:
        with forked(0):
            adversarial = run_bare(counting, images, labels, epsilon, arguments.batch)
        with torch.no_grad():
            stands = (counting(adversarial).argmax(1) == labels) & (counting(images).argmax(1) == labels)
    theirs = dict(zip(part.indices.tolist(), stands.tolist(), strict=True))
    reach = float((adversarial - images).abs().max())

    suite = Suite(name="bench", version=1, norm="linf", grid=(epsilon,), mode="observed", chunk=512, attacks=(spec,))
    with own_cache(), tempfile.TemporaryDirectory() as folder, Clock(arguments.device) as harness:
        options = Options(Path(folder), n=arguments.n, seed=0, device=arguments.device, batch_size=arguments.batch)
        run = evaluate(model, suite, part.data, options)
    ours = sample_outcomes(run.facts, spec.id, epsilon.value)
    cell = run.summary["cells"][0]
    report: dict[str, Any] = {
        "benchmark": arguments.kind,
        "model": arguments.model,
        "data": part.data.name,
        "n": arguments.n,
        "epsilon": epsilon.label,
        "batch": arguments.batch,
        "plan": as_json(run.info.plan),
        **machine(arguments.device),
        "bare": {
            "robust_accuracy": float(np.mean(list(theirs.values()))),
            "seconds": loop.seconds,
            "wall_s": loop.wall,
            "forwards": counting.forwards,
            "backwards": counting.backwards,
            "largest_distance": reach,
        },
        "harness": {
            "robust_accuracy": cell["robust_accuracy"],
            "seconds": harness.seconds,
            "wall_s": harness.wall,
            "forwards": cell["forwards"],
            "backwards": cell["backwards"],
        },
        "only_harness_breaks": sum(theirs[i] and not ours[i] for i in ours),
        "only_bare_breaks": sum(ours[i] and not theirs[i] for i in ours),
        "speedup": loop.seconds / harness.seconds,
    }
    write(report, arguments.output)


if __name__ == "__main__":
    main()
