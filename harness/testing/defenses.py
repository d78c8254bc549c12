"""`check_defense`: options, what a loss may touch, that it teaches, and that it defends where that can be computed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from harness.base.randomness import forked
from harness.base.threat import check_norm, parse_epsilon
from harness.errors import UsageError
from harness.inputs.registry import Registry
from harness.testing.closed import Classifier, Features
from harness.testing.faults import Faults, ModuleState

STEPS, BATCH = 150, 128
MOST = 0.1
"""Largest epsilon of the closed-form task: its strong pixels move by four epsilons either way."""


def check_defense(defense: str | type[Any], options: Mapping[str, Any] | None = None) -> None:
    """Hold a defense to the contract of `model_zoo.defenses.base.Defense`.

    Args:
        defense: The name it is registered as, or its class.
        options: As ``--set`` would give them; for fast tests.

    Raises:
        NotConformant: lists every fault.
    """
    name = defense if isinstance(defense, str) else defense.__name__
    with Faults(f"defense {name!r}") as faults:
        with faults.running("import", "the defense must be importable by its entry point"):
            kind = Registry("defenses").load(defense) if isinstance(defense, str) else defense
        parts = ("loss", "options", "from_options", "trained_for", "prepare")
        missing = [part for part in parts if not hasattr(kind, part)]
        advice = f"{', '.join(missing)} is missing; derive the class from model_zoo.defenses.base.Defense"
        faults.require(isinstance(kind, type) and not missing, "contract", advice)
        with faults.running("options", "the defense must be made from its options alone; give every field a default"):
            made = kind.from_options(options or {})
        _options(faults, made)
        _loss(faults, made)
        if not faults.found:
            _teaches(faults, made)


def _options(faults: Faults, made: Any) -> None:
    with faults.running("options", "options must be numbers, truth values or text"):
        json.dumps(made.options(), allow_nan=False)
    with faults.running("options", "what the card records must make the same defense again"):
        again = type(made).from_options({key: str(value) for key, value in made.options().items()})
        faults.expect(
            again == made, "options", "from_options(options()) is another defense; decorate it @dataclass(frozen=True)"
        )
    try:
        type(made).from_options({"no_such_option": 1})
        faults.expect(False, "options", "an unknown option is accepted; leave from_options to the base class")
    except UsageError:
        pass
    threat = made.trained_for
    if threat:
        with faults.running("trained_for", "give {} or a norm and an epsilon"):
            parse_epsilon(threat["epsilon"], check_norm(threat["norm"]))


class _Net(nn.Module):
    """A network with batch norm and dropout, whose modes and buffers matter."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(64, 5)
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.body(images)
        return logits


def _loss(faults: Faults, made: Any) -> None:
    with forked(0):
        net = _Net().train()
        images, labels = torch.rand(8, 3, 8, 8), torch.arange(8) % 5
    state, before = ModuleState(net), images.clone()
    with faults.running("loss", "loss(model, images, labels) must work on 8 images [8,3,8,8] with 5 classes"):
        first = _value(made, net, images, labels)
    scalar = isinstance(first, Tensor) and first.ndim == 0
    got = tuple(first.shape) if isinstance(first, Tensor) else type(first).__name__
    faults.require(scalar, "loss", f"loss gave {got}; return a scalar tensor, for instance with .mean()")
    faults.expect(bool(torch.isfinite(first)), "loss", f"loss is {first.item()} at random weights; it must be finite")
    faults.expect(torch.equal(images, before), "state", "loss changed the images in place; work on images.clone()")
    for change in state.changes(buffers=False):  # batch norm may learn its statistics
        faults.expect(
            False, "state", f"loss changed {change}; leave weights, train mode and requires_grad as they were"
        )
    faults.require(first.requires_grad, "loss", "loss has no gradient; do not detach it or compute it under no_grad")
    net.zero_grad()
    first.backward()
    reached = any(parameter.grad is not None and bool(parameter.grad.any()) for parameter in net.parameters())
    faults.expect(reached, "loss", "no weight gets a gradient; the loss must depend on model(images)")
    state.restore()
    again = _value(made, net, images, labels)
    faults.expect(
        torch.equal(first, again), "determinism", "the same seed gave another loss; draw from torch's generator only"
    )


def _value(made: Any, net: nn.Module, images: Tensor, labels: Tensor) -> Any:
    with forked(3):
        return made.loss(net, images, labels)


def _teaches(faults: Faults, made: Any) -> None:
    """Trains a linear model on a task whose robust accuracy is known exactly, beside plain cross-entropy."""
    threat = made.trained_for
    against = threat.get("norm") == "linf"
    epsilon = parse_epsilon(threat["epsilon"]).value if against else 4 / 255
    task = Features(min(epsilon, MOST))
    with faults.running("teaches", "training a linear model on 8x8 images failed"):
        model = _trained(made.loss, task)
    accuracy = task.accuracy(model)
    faults.expect(
        accuracy > 0.8,
        "teaches",
        f"after {STEPS} steps on an easy task of two classes {100 * accuracy:.0f} % are right; check the loss's sign",
    )
    if not against or epsilon > MOST:
        return
    plain = task.accuracy(_trained(_plain, task), robust=True)
    robust = task.accuracy(model, robust=True)
    faults.expect(
        robust > plain + 0.1,
        "defends",
        f"trained_for says linf {threat['epsilon']}, but there a linear model trained with it is right on"
        f" {100 * robust:.0f} % of the images and one trained without on {100 * plain:.0f} %; does the loss see"
        " perturbed images of that size?",
    )


def _plain(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.cross_entropy(model(images), labels)


def _trained(loss: Callable[..., Tensor], task: Features) -> Classifier:
    with forked(0):
        model = task.model().train()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for step in range(STEPS):
            images, labels = task.sample(BATCH, seed=step)
            value = loss(model, images, labels)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    return model.eval()
