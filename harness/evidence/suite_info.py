"""The suite of a run.json as types: attacks, their adaptations, and the grid."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from harness.base.threat import Epsilon
from harness.evidence.structs import Count, Positive
from harness.types import Kind, Norm, Place, Threat


class AdaptationInfo(Struct, frozen=True, kw_only=True):
    """A change of what an attack differentiates."""

    text: str
    """As ``--adapt`` and suites spell it, ``NAME:ARGUMENT``."""
    weights: str | None = None
    """Hash of another model that proposes, or of the witnesses of a pool, where there is one."""
    code: str | None = None
    """Hash of the adaptation's code, where no package version names it."""


class AttackInfo(Struct, frozen=True, kw_only=True):
    """One attack of the suite, resolved."""

    id: str
    """Name in the suite and in the facts."""
    tool: str
    """Name of the tool, the part of the plugin's name before the dot."""
    tool_version: str | None
    """Version of the installed tool; null where it is not installed."""
    method: str
    """Name of the method, the part of the plugin's name behind the dot."""
    kind: Kind
    """What the attack looks for: any witness in the ball, the nearest, or a target class."""
    iterative: bool
    """Whether witnesses of smaller epsilons are inherited."""
    components: tuple[str, ...]
    """Parts of a cascade; empty for a plain attack."""
    params: dict[str, Any]
    """The parameters as the suite has them."""
    resolved: dict[str, dict[str, Any]]
    """By epsilon label, every parameter in numbers."""
    caveats: tuple[str, ...]
    """What a reader must know of this method of this tool."""
    code: str | None = None
    """Hash of the attack's code, where no package version names it."""
    individual: bool | None = None
    """Whether every component runs on all samples, where the plugin's class says so."""
    n: Positive | None = None
    """Runs on the first n samples of the slice's order only; absent where it runs on all."""
    chunk: Positive | None = None
    """Samples in a unit, where it is not the suite's chunk."""
    after: Literal["all"] | None = None
    """Attacks only what no earlier attack of the suite broke, at this or a smaller epsilon."""
    adapt: tuple[AdaptationInfo, ...] | None = None
    """What of the attacked copy of the model is changed, in this order; absent for attacks on the model as it is."""

    @property
    def adaptations(self) -> tuple[str, ...]:
        """The texts of `adapt`; empty for an attack on the model as it is."""
        return tuple(one.text for one in self.adapt or ())

    @property
    def targeted(self) -> bool:
        """Whether success is a target class."""
        return self.kind == "targeted" or "target" in self.params

    @property
    def universal(self) -> bool:
        """Whether one perturbation is made for all samples of a unit: fewer samples are then another attack."""
        return bool(self.params.get("universal"))

    @property
    def separate(self) -> bool:
        """Whether every component is run on all samples; a plugin may say so in its resolved parameters, too."""
        told = [self.params, *self.resolved.values()]
        return bool(self.individual) or any(bool(params.get("individual")) for params in told)


class SuiteInfo(Struct, frozen=True, kw_only=True):
    """The suite, resolved."""

    name: str
    """Name without the version."""
    version: Count
    """Of the suite."""
    label: str
    """``name@version``, or what a suite from the command line is called."""
    norm: Norm
    """Norm of the ball."""
    labels: tuple[str, ...] = msgspec.field(name="grid")
    """The epsilons as they are printed, ascending."""
    epsilons: tuple[float, ...]
    """The same epsilons as numbers, in input units."""
    chunk: Positive
    """Samples in a unit."""
    attacks: tuple[AttackInfo, ...]
    """In the order in which they run."""
    until: Annotated[float, Meta(gt=0)] | None = None
    """Stopping rule: attacks with an n go on until every estimate's half-width is at most this share."""
    edited: tuple[str, ...] | None = None
    """Attacks whose n was given with the command and is not the suite file's."""
    other_threat: Literal["corruption", "patch"] | None = msgspec.field(name="threat", default=None)
    """What may happen to an image; absent where it is a ball."""
    other_place: Literal["center", "boxes"] | None = msgspec.field(name="place", default=None)
    """Where patches lie; absent where that is drawn."""

    @property
    def adapted(self) -> tuple[str, ...]:
        """Ids of the adapted attacks."""
        return tuple(attack.id for attack in self.attacks if attack.adapt)

    @property
    def threat(self) -> Threat:
        """What may happen to an image."""
        return self.other_threat or "ball"

    @property
    def place(self) -> Place:
        """Where patches lie."""
        return self.other_place or "drawn"

    @property
    def ruler(self) -> str:
        """What distances are measured by, and tables say: the norm of the ball, or what else threatens."""
        if self.threat == "ball":
            return self.norm
        return self.threat if self.other_place is None else f"{self.threat} at {self.other_place}"

    @property
    def grid(self) -> tuple[Epsilon, ...]:
        """The epsilons, ascending."""
        return tuple(Epsilon(value, label) for value, label in zip(self.epsilons, self.labels, strict=True))
