"""What the versions of AutoAttack consist of."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from harness.types import Norm

COMPONENTS = ("apgd-ce", "apgd-dlr", "apgd-t", "fab", "fab-t", "square")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Components in the order they run, and the strength of each."""

    components: tuple[str, ...]
    steps: int = 100
    """Of every APGD and FAB run."""
    eot: int = 1
    """Gradients averaged in each APGD step, for randomized models."""
    apgd_restarts: int = 1
    """Of ``apgd-ce`` and ``apgd-dlr``."""
    apgd_targets: int = 9
    """Most likely wrong classes that ``apgd-t`` tries."""
    fab_restarts: int = 1
    """Of ``fab``; ``fab-t`` has one run a class."""
    fab_targets: int = 9
    queries: int = 5000
    """Of ``square``."""
    larger_radii: bool = False
    """Whether APGD starts at 3 and 2 epsilon before it goes on at epsilon, as it does in l1."""

    def asks(self, component: str) -> int:
        """About how many queries a component asks of samples that do not break; FAB asks twice a step."""
        if component == "square":
            return self.queries
        if component.startswith("fab"):
            return 2 * self.steps * (self.fab_targets if component == "fab-t" else self.fab_restarts)
        return self.steps * self.eot * (self.apgd_targets if component == "apgd-t" else self.apgd_restarts)

    def as_dict(self) -> dict[str, Any]:
        """The budget as parameters of the record."""
        return {**asdict(self), "components": list(self.components)}


def standard(norm: Norm) -> Budget:
    """Version ``standard``: what the name AutoAttack stands for."""
    components = ("apgd-ce", "apgd-t", "fab-t", "square")
    if norm == "l1":
        return Budget(components=components, apgd_restarts=5, apgd_targets=5, larger_radii=True)
    return Budget(components=components)


def plus(norm: Norm) -> Budget:
    """Version ``plus``: six components, five restarts."""
    components = ("apgd-ce", "apgd-dlr", "fab", "square", "apgd-t", "fab-t")
    return Budget(components=components, apgd_restarts=5, fab_restarts=5)


def rand(norm: Norm) -> Budget:
    """Version ``rand``, for randomized models: gradients averaged over 20 forwards."""
    return Budget(components=("apgd-ce", "apgd-dlr"), eot=20)


CONSTANTS: dict[str, float] = {"alpha_max": 0.1, "beta": 0.9, "eta": 1.05, "p_init": 0.8, "rho": 0.75}
"""The same in every version."""
