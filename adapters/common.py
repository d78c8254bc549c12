"""What the adapters of class-based tools share: from canonical parameters to a constructor's keywords."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from harness.attack import BaseAttack, scaled
from harness.errors import AttackFailed, BadSuite
from harness.types import Problem

TARGETED: Mapping[str, type] = {"target": str}
"""The `options` of attacks that have a targeted mode."""
MAY_BE_ZERO = frozenset(
    {"alpha_max", "beta", "confidence", "decay", "diversity_prob", "overshoot", "project_factor", "rho", "std"}
)
"""Float parameters that switch a part of the attack off at 0; all others must be above 0, and none may be below."""
SHARES = frozenset({"decrease_factor", "diversity_prob", "p_init", "rho", "step_adapt"})
"""Float parameters that are shares or probabilities: at most 1."""


class ToolAttack(BaseAttack):
    """An attack that is one class of one tool; subclasses are declarations.

    Every argument of the tool's constructor is named in exactly one of `strength` (the suite must give it), `fixed`
    (one value is right, and is recorded), `plumbing` (filled in from the problem), or `neutral` (cannot change a
    result). A test compares this with the signature of the installed tool, so that nothing is left to a default.
    """

    tool_class: ClassVar[str]
    """Name of the class in the tool."""
    renamed: ClassVar[Mapping[str, str]] = {}
    """Canonical name to the tool's keyword, where the two differ."""
    fixed: ClassVar[Mapping[str, Any]] = {}
    """Keywords of the tool for which only one value is right."""
    plumbing: ClassVar[tuple[str, ...]] = ()
    """Keywords that the adapter fills in from the problem: the radius, the norm, the seed, ..."""
    neutral: ClassVar[tuple[str, ...]] = ()
    """Keywords that cannot change a result, such as verbosity."""
    plumbed: ClassVar[tuple[str, ...]] = ()
    """Canonical parameters that reach the tool through the plumbing, because they depend on the problem too."""
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Allowed values of parameters that are words."""
    fewest_classes: ClassVar[int] = 2
    """Classes the tool's loss needs; with fewer it would crash or divide by nothing."""
    fewest_classes_dlr: ClassVar[int] = 3
    """The same, where the suite chooses the DLR loss: it needs the third largest logit."""
    restarts_inside: ClassVar[bool] = False
    """Whether the tool does the restarts itself (then the harness calls it once)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        where = f"attack {self.spec.id!r}"
        for name, kind in self.strength.items():
            if kind is int and self.params[name] < 1:
                raise BadSuite(f"{where}: {name} must be at least 1, not {self.params[name]}")
            if kind is float:
                _check_range(where, name, self.params[name])
        for name, words in self.choices.items():
            if self.params[name] not in words:
                raise BadSuite(f"{where}: {name} must be one of {', '.join(words)}, not {self.params[name]!r}")

    @property
    def restarts(self) -> int:
        """How often the harness calls `perturb`."""
        return 1 if self.restarts_inside else super().restarts

    def check(self, problem: Problem) -> None:
        """What must be so before the tool can run.

        Raises:
            MissingPackage: the tool is not installed.
            AttackFailed: the tool's loss is not defined for so few classes.
        """
        self.tool_version()
        needed = self.fewest_classes_dlr if self.params.get("loss") == "dlr" else self.fewest_classes
        if problem.num_classes < needed:
            raise AttackFailed(
                f"{self.spec.tool}.{self.spec.method} needs at least {needed} classes, and this model has"
                f" {problem.num_classes}; use another loss or attack"
            )

    def arguments(self, epsilon: float) -> dict[str, Any]:
        """Keywords of the tool's constructor at `epsilon`, without the plumbing."""
        resolved = super().parameters(epsilon)
        names = [name for name in self.strength if name not in self.plumbed]
        return {self.renamed.get(name, name): resolved[name] for name in names} | dict(self.fixed)

    def parameters(self, epsilon: float) -> dict[str, Any]:
        """Every parameter resolved at `epsilon`, with the fixed ones."""
        return dict(sorted({**self.fixed, **super().parameters(epsilon)}.items()))


def _check_range(where: str, name: str, value: Any) -> None:
    """Refuse a strength with which the attack would stand still, walk backwards or never end.

    Raises:
        BadSuite: names attack and parameter.
    """
    number = scaled(value, 1.0)  # the sign is the same at every epsilon
    if number < 0 or (number == 0 and name not in MAY_BE_ZERO):
        least = "at least 0" if name in MAY_BE_ZERO else "above 0"
        raise BadSuite(f"{where}: {name} must be {least}, not {value!r}")
    if name in SHARES and number > 1:
        raise BadSuite(f"{where}: {name} must be at most 1, not {value!r}")
