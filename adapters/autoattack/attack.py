"""The versions of AutoAttack as attacks of the harness."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, ClassVar

from adapters.autoattack.budget import COMPONENTS, CONSTANTS, Budget, plus, rand, standard
from adapters.square import misfit
from harness.attack import BaseAttack, ToolRemark, ToolWarning
from harness.errors import AttackFailed, BadSuite, MissingPackage
from harness.types import Norm, Problem

if TYPE_CHECKING:
    from torch import Tensor, nn


class AutoAttack(BaseAttack):
    """Base of the versions; each says what its `Budget` is."""

    distribution = "pyautoattack"
    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2", "l1")
    options: ClassVar[Mapping[str, type]] = {"individual": bool}
    freezable = True
    randomized: ClassVar[bool] = False
    """Whether the version is made for randomized models, so that the tool does not check for them."""
    cascade: ClassVar[bool] = True
    """Whether there are several components, with facts for each."""
    restarts_inside: ClassVar[bool] = False
    """Whether the tool does the restarts itself (then the harness calls it once)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cascade:
            if self.params["restarts"] != 1:
                raise BadSuite(f"attack {self.spec.id!r}: a cascade has its own restarts; leave restarts out")
            object.__setattr__(self, "components", self.budget.components)
        if self.budget.larger_radii and self.budget.steps < 3:
            raise BadSuite(
                f"attack {self.spec.id!r}: in l1 APGD goes through three radii, so steps must be at least 3,"
                f" not {self.budget.steps}"
            )

    @property
    def budget(self) -> Budget:
        """Components and their strength."""
        raise NotImplementedError

    @property
    def restarts(self) -> int:
        """How often the harness calls `perturb`."""
        return 1 if self.restarts_inside else super().restarts

    def freezes(self, component: str | None) -> bool:
        """FAB minimizes a distance and draws new starts for what is left: it is watched, not stopped row by row."""
        return self.freezable and not (component or "").startswith("fab")

    def tool_version(self) -> str:
        """Version of ``pyautoattack`` or, without it, of ``autoattack``.

        Raises:
            MissingPackage: neither is installed.
        """
        for name in ("pyautoattack", "autoattack"):
            try:
                return version(name)
            except PackageNotFoundError:
                continue
        raise MissingPackage("autoattack is not installed; run: pip install pyautoattack")

    def parameters(self, epsilon: float) -> dict[str, Any]:
        """Every parameter of every component."""
        return dict(sorted({**self.budget.as_dict(), **CONSTANTS, "individual": self.individual}.items()))

    def queries(self, component: str | None) -> int | None:
        """About how many queries `component` asks."""
        return self.budget.asks(component or self.budget.components[0])

    def refusal(self, shape: Sequence[int]) -> str | None:
        """Square alone cannot run on images of some sizes; a cascade goes on without it."""
        return self._square_misfit(shape) if self.budget.components == ("square",) else None

    def _square_misfit(self, shape: Sequence[int]) -> str | None:
        why = misfit(shape[-2], shape[-1], self.norm)
        return f"the tool's square cannot run: {why}; use linf, or images of another size" if why else None

    def perturb(self, model: nn.Module, problem: Problem) -> Tensor | None:
        """Run ``problem.component`` on a fresh object of the tool; None if a cascade must leave it out.

        Raises:
            AttackFailed: the model has too few classes for the only component, or images have a size it cannot take.
        """
        import torch

        from adapters.autoattack.parts import FEWEST_CLASSES, build, check

        budget = self.budget
        component = problem.component or budget.components[0]
        if problem.num_classes < (needed := FEWEST_CLASSES.get(component, 2)):
            why = f"its loss needs {needed} classes, and the model has {problem.num_classes}"
            if not self.cascade:
                raise AttackFailed(f"{component} cannot run: {why}; use another attack")
            warnings.warn(left_out(component, why, problem.num_classes), stacklevel=2)
            return None
        if component == "square" and (reason := self._square_misfit(problem.images.shape)):
            if not self.cascade:
                raise AttackFailed(reason)
            warnings.warn(ToolWarning(f"square was left out, the other components ran: {reason}"), stacklevel=2)
            return None
        images, labels = problem.images.clone(), problem.labels.clone()  # the tool reshapes single rows in place
        if component == budget.components[0] and problem.restart == 0:
            check(model, images, labels, self.randomized)
        attack = build(component, model, problem, budget)
        with torch.no_grad():
            return self._called(attack, images, labels)

    def _called(self, tool: Any, images: Tensor, labels: Tensor) -> Tensor:
        """Call the tool's object."""
        return tool.perturb(images, labels)  # type: ignore[no-any-return]


def left_out(component: str, why: str, classes: int) -> ToolWarning:
    """What to say of a component without enough classes; with two, nothing is lost: there is but one to aim at."""
    message = f"{component} was left out: {why}"
    if classes > 2:
        return ToolWarning(message)
    return ToolRemark(f"{message}; nothing is lost, since every wrong prediction is the other class")


class Standard(AutoAttack):
    """AutoAttack: APGD-CE, APGD-T, FAB-T and Square, as its authors run it."""

    @property
    def budget(self) -> Budget:
        """Of version ``standard``."""
        return standard(self.norm)


class Plus(AutoAttack):
    """Six components with five restarts: AutoAttack's version ``plus``."""

    @property
    def budget(self) -> Budget:
        """Of version ``plus``."""
        return plus(self.norm)


class Rand(AutoAttack):
    """APGD-CE and APGD-DLR on gradients averaged over 20 forwards: AutoAttack's version ``rand``."""

    randomized = True

    @property
    def budget(self) -> Budget:
        """Of version ``rand``."""
        return rand(self.norm)


class Custom(AutoAttack):
    """Any of AutoAttack's components, with the strength that the suite writes."""

    strength: ClassVar[Mapping[str, type]] = {
        "components": list,
        "steps": int,
        "eot": int,
        "apgd_restarts": int,
        "apgd_targets": int,
        "fab_restarts": int,
        "fab_targets": int,
        "queries": int,
        "larger_radii": bool,
    }
    caveats = ("a selection of AutoAttack's components, not AutoAttack",)

    def __post_init__(self) -> None:
        super().__post_init__()
        where, names = f"attack {self.spec.id!r}", self.params["components"]
        if not names or len(set(names)) < len(names) or not set(names) <= set(COMPONENTS):
            raise BadSuite(f"{where}: components must be some of {', '.join(COMPONENTS)}, each once, not {names!r}")
        for name, kind in self.strength.items():
            if kind is int and self.params[name] < 1:
                raise BadSuite(f"{where}: {name} must be at least 1, not {self.params[name]}")
        if self.params["larger_radii"] and self.norm != "l1":
            raise BadSuite(f"{where}: larger_radii works in l1 only, not in {self.norm}; set it to false")

    @property
    def budget(self) -> Budget:
        """As the suite has it."""
        given = {name: self.params[name] for name in self.strength}
        return replace(Budget(components=()), **{**given, "components": tuple(given["components"])})
