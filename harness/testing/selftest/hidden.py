"""Masks whose truth is known: what they hide, and how much of it adapted attacks recover.

Where a mask leaves the forward pass alone, the truth is the bare network's robust accuracy, fully attacked. Where it
changes it, the truth is what the strongest adapted attack leaves that was written by hand, knowing the mask: an upper
bound. Masks that are `apart` were added after the rules of `harness.trust.adapting` were written, none of which names
their kind; no rule was changed for their sake.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.testing.selftest import masks
from harness.testing.selftest.broken import around, saturated
from harness.testing.selftest.examples import classifier
from harness.testing.selftest.masks import Change
from harness.testing.selftest.networks import Normalize, trained


class Step(nn.Module):
    """A function as a module with a name."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        self.change = change

    def forward(self, values: Tensor) -> Tensor:
        """The changed values."""
        return self.change(values)


class Within(nn.Module):
    """The undefended network with a step between its features and its last layers."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        layers = list(trained("plain"))
        self.normalize, self.features, self.step = Normalize(), nn.Sequential(*layers[:6]), Step(change)
        self.head = nn.Sequential(*layers[6:])

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.head(self.step(self.features(self.normalize(images))))
        return logits


class Voting(nn.Module):
    """Three members, of which two hide their gradients; their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (classifier("plain") for _ in range(3))

    def forward(self, images: Tensor) -> Tensor:
        """Mean logits, of which a third lets through a gradient that points nowhere."""
        hidden = self.first(images).detach() + self.second(images).detach()
        logits: Tensor = (hidden + self.third(masks.with_gradient(masks.scrambled)(images))) / 3
        return logits


def opposite(gradient: Tensor) -> Tensor:
    """Gradients that point downhill."""
    return -gradient


def displaced(gradient: Tensor) -> Tensor:
    """Gradients of other pixels."""
    return gradient.roll((5, 5), (2, 3))


def rounded(values: Tensor) -> Tensor:
    """To steps of an eighth; the gradient of rounding is zero."""
    return (8 * values).round() / 8


def two_hidden() -> nn.Module:
    """Zeroed gradients before the network, and a saturated softmax behind it."""
    return around(masks.with_gradient(masks.zeroed), saturated)


@dataclass(frozen=True, kw_only=True)
class Mask:
    """A network that hides gradients, and how to get at the truth."""

    name: str
    about: str
    """What it is, in one line."""
    model: Callable[[], nn.Module]
    """Builds the masked network: images [n,3,16,16] in [0,1] to logits."""
    by_hand: tuple[str, ...] = ()
    """Adaptations, as ``--adapt`` takes them, that a person would choose; none where the bare network is the truth."""
    apart: bool = False
    """Whether no rule was written with it in mind."""


def _before(change: Change) -> Callable[[], nn.Module]:
    return lambda: around(before=change)


def _after(change: Change) -> Callable[[], nn.Module]:
    return lambda: around(after=change)


def _gradient(change: Callable[[Tensor], Any]) -> Callable[[], nn.Module]:
    return _before(masks.with_gradient(change))


ENTRY = ("entry:network,margin", "entry:network")
MEMBER = ("member:network,margin", "member:network")
HIDDEN = (
    Mask(name="zeroed", about="gradients set to zero", model=_gradient(masks.zeroed)),
    Mask(name="nan", about="gradients that are NaN", model=_gradient(masks.not_a_number)),
    Mask(name="detached", about="a copy without a gradient", model=_before(torch.Tensor.detach)),
    Mask(name="scrambled", about="gradients that point nowhere", model=_gradient(masks.scrambled)),
    Mask(name="saturated", about="logits times 100", model=_after(saturated)),
    Mask(name="quantized", about="16 levels of brightness", model=_before(masks.quantized), by_hand=ENTRY),
    Mask(name="jpeg", about="a rounded cosine transform", model=_before(masks.jpeg), by_hand=ENTRY),
    Mask(name="off-grid", about="no gradient after a step", model=_before(masks.flat_off_the_grid), by_hand=ENTRY),
    Mask(name="detached-logits", about="no gradient behind the network", model=_after(torch.Tensor.detach)),
    Mask(name="downhill", about="gradients that point downhill", model=_gradient(opposite), apart=True),
    Mask(name="displaced", about="gradients of other pixels", model=_gradient(displaced), apart=True),
    Mask(name="two-masks", about="zeroed before, saturated behind", model=two_hidden, apart=True),
    Mask(name="blocked", about="no gradient in the middle", model=lambda: Within(torch.Tensor.detach), apart=True),
    Mask(
        name="coarse-features", about="features in steps of 1/8", model=lambda: Within(rounded), apart=True,
        by_hand=("identity:step,margin", "identity:step"),
    ),
    Mask(name="coarse-logits", about="logits in steps of 1/8", model=_after(rounded), apart=True, by_hand=MEMBER),
    Mask(name="voting", about="two of three members hidden", model=Voting, apart=True),
)  # fmt: skip
"""All masks."""
