"""A kind of corruption as an entry of a suite: it takes the place of an attack, its severities that of epsilons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from harness.attack import BaseAttack, BrokenAttack
from harness.errors import PluginError
from harness.inputs.corruptions.kinds import Kind, corrupted, load_kind
from harness.inputs.registry import Registry, stranger
from harness.types import Attack, AttackSpec

NOT_EXACT = (
    "made by a library whose versions may round differently: verify accepts images that differ by at most"
    " {tolerance}/255 anywhere"
)
LIBRARY = "pillow"
"""The package whose versions make other images of a kind that is not exact."""
TOLERANCE = 8
"""Levels of 255 by which an image of a kind that is not exact may differ elsewhere."""


@dataclass(frozen=True)
class Corruption(BaseAttack):
    """One kind, at all severities; single steps, of which none inherits from another.

    Attributes:
        corruption: The kind.
    """

    corruption: Kind

    iterative = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "params", {"restarts": 1})
        if not self.corruption.exact:
            object.__setattr__(self, "caveats", (NOT_EXACT.format(tolerance=TOLERANCE),))

    def tool_version(self) -> str:
        """The kind's version, behind it the package's where it is not this one."""
        package = stranger("corruptions", self.spec.method)
        behind = f" ({package} {Registry('corruptions').get(self.spec.method).version})" if package else ""
        return f"{self.corruption.version}{behind}"

    def parameters(self, epsilon: float) -> dict[str, Any]:
        """Family and severity."""
        return {"family": self.corruption.family, "severity": int(epsilon)}

    def refusal(self, shape: Sequence[int]) -> str | None:
        """Why images of this `shape` cannot be corrupted, or None."""
        side = min(shape[-2:])
        return None if side >= self.corruption.smallest else f"images of {side} pixels are too small to corrupt"

    def images(self, clean: Tensor, ids: Sequence[int], severity: float) -> Tensor:
        """Corrupted images float32 [n,C,H,W] in [0,1], on the CPU; clean ones are taken to 8 bits first.

        Raises:
            PluginError: a kind of another package failed.
        """
        pixels = eight_bits(clean)
        found = corrupted(pixels.numpy(), ids, self.spec.method, int(severity), self.corruption)
        return torch.from_numpy(found).float() / 255


def eight_bits(images: Tensor) -> Tensor:
    """Images in [0,1] as uint8, rounded, on the CPU."""
    return (images.detach().cpu().double() * 255 + 0.5).floor().clamp(0, 255).to(torch.uint8)


def corruption(spec: AttackSpec) -> Attack:
    """The kind that a suite names; one whose package is broken fails when it is run, in its own cells."""
    try:
        return cast(Attack, Corruption(spec, "linf", load_kind(spec.method)))
    except PluginError as error:
        return cast(Attack, BrokenAttack(spec, "linf", error))
