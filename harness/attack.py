"""Base class and parameter handling for attacks, shared by all adapters and by plugins."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, ClassVar

from harness.base.installing import advice
from harness.base.targets import check_rule
from harness.errors import BadSuite, MissingPackage, PluginError
from harness.types import AttackSpec, Kind, Norm, Problem, Threat

if TYPE_CHECKING:
    from torch import Tensor, nn

_FRACTION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)\s*$", re.ASCII)
_SCALED = re.compile(r"""^\s*(?:(?P<factor>\d+(?:\.\d+)?)\s*\*\s*)?epsilon\s*(?:/\s*(?P<divisor>\d+(?:\.\d+)?))?\s*$""")


class ToolWarning(UserWarning):
    """Something a tool noticed; the core turns each into a finding on the row."""


class ToolRemark(ToolWarning):
    """The same, where it is worth telling and no reason to doubt the row: a finding of level ``info``."""


def scaled(value: Any, epsilon: float) -> Any:
    """A parameter at `epsilon`: ``"epsilon/4"``, ``"1.25*epsilon"`` and ``"2*epsilon/3"`` scale, all else stays.

    Fractions such as ``"2/255"`` are numbers.
    """
    if isinstance(value, str) and (match := _SCALED.match(value)):
        return float(match["factor"] or 1.0) * epsilon / float(match["divisor"] or 1.0)
    if isinstance(value, str) and (match := _FRACTION.match(value)) and float(match[2]):
        return float(Fraction(match[1]) / Fraction(match[2]))
    return value


@dataclass(frozen=True)
class BaseAttack:
    """Defaults of the `harness.types.Attack` contract; subclasses set the class variables and write `perturb`.

    Attributes:
        spec: The attack as the suite has it.
        norm: The norm of the ball.
        params: Canonical parameters, checked against `strength`; still unscaled.
    """

    spec: AttackSpec
    norm: Norm
    params: Mapping[str, Any] = field(init=False)

    distribution: ClassVar[str] = ""
    """Name of the tool's distribution, for its version."""
    strength: ClassVar[Mapping[str, type | tuple[type, ...]]] = {}
    """Canonical parameters the suite must give, all of them, and their types (a scaled one is ``float``)."""
    norms: ClassVar[tuple[Norm, ...]] = ("linf",)
    kind: ClassVar[Kind] = "budget"
    iterative: ClassVar[bool] = True
    freezable: ClassVar[bool] = False
    components: ClassVar[tuple[str | None, ...]] = (None,)
    caveats: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[Mapping[str, type | tuple[type, ...]]] = {}
    """Parameters the suite may give: they change what is asked (a target, ...), not how strongly."""
    threats: ClassVar[tuple[Threat, ...]] = ("ball",)
    """Which threats it knows; of ``patch`` it gets `harness.types.Problem.mask`."""
    pooled: ClassVar[bool] = False
    """Whether it asks about `harness.types.Problem.pool`, and so needs the adaptation ``pool``."""
    one_by_one: ClassVar[bool] = False
    """Whether the tool works on one sample at a time: `perturb` is then called with one row, so that every query has
    a certain owner."""

    def __post_init__(self) -> None:
        given = dict(self.spec.params)
        where = f"attack {self.spec.id!r}"
        if self.norm not in self.norms:
            raise BadSuite(
                f"{where}: {self.spec.tool}.{self.spec.method} has no norm {self.norm!r}; it has {list(self.norms)}"
            )
        allowed = {*self.strength, *self.options, "restarts"}
        if unknown := sorted(set(given) - allowed):
            raise BadSuite(
                f"{where}: unknown parameter {unknown[0]!r}; {self.spec.method} takes {', '.join(sorted(allowed))}"
            )
        if missing := sorted(set(self.strength) - set(given)):
            raise BadSuite(f"{where}: parameter {missing[0]!r} is missing; no strength is left to a tool's default")
        for name, expected in {"restarts": int, **self.options, **self.strength}.items():
            if name in given:
                _check_type(where, name, given[name], expected)
        if given.setdefault("restarts", 1) < 1:
            raise BadSuite(f"{where}: restarts must be at least 1, not {given['restarts']}")
        object.__setattr__(self, "params", given)
        if self.target is not None:
            try:
                check_rule(self.target)
            except BadSuite as error:
                raise BadSuite(f"{where}: {error}") from None
            if self.kind == "budget":  # the others stay what they are, and aim at the target
                object.__setattr__(self, "kind", "targeted")

    @property
    def restarts(self) -> int:
        """How often the harness calls `perturb`."""
        return int(self.params["restarts"])

    @property
    def target(self) -> str | None:
        """The rule for target classes, see `harness.base.targets`; None for an untargeted attack."""
        rule: str | None = self.params.get("target")
        return rule

    @property
    def individual(self) -> bool:
        """Whether every component runs on all clean-correct samples instead of on what the ones before left."""
        return bool(self.params.get("individual", False))

    def freezes(self, component: str | None) -> bool:
        """Whether broken rows may be frozen while `component` runs; `freezable`, if it is the same for all."""
        return self.freezable

    def queries(self, component: str | None) -> int | None:
        """About how many queries one call of the tool asks of samples that do not break; None if that is not known.

        Nothing depends on it but what a run says of a call that a budget cut off: by how much the budget was too small.
        """
        for name in ("queries", "steps"):
            if isinstance(count := self.params.get(name), int):
                return count
        return None

    def tool_version(self) -> str:
        """Version of the installed tool.

        Raises:
            MissingPackage: it is not installed.
        """
        try:
            return version(self.distribution)
        except PackageNotFoundError:
            raise MissingPackage(f"{self.spec.tool} is not installed; run: {advice(self.distribution)}") from None

    def refusal(self, shape: Sequence[int]) -> str | None:
        """Why no part of the attack can run on images [...,H,W] of this `shape`; None if it can. Asked before a run."""
        return None

    def parameters(self, epsilon: float) -> dict[str, Any]:
        """Every parameter, resolved at `epsilon`."""
        return {name: scaled(value, epsilon) for name, value in sorted(self.params.items())}

    def perturb(self, model: nn.Module, problem: Problem) -> Tensor | None:
        """Run the tool once; see `harness.types.Attack`."""
        raise NotImplementedError


@dataclass(frozen=True)
class BrokenAttack(BaseAttack):
    """Stands for an attack whose plugin failed: its cells are missing and say why, the others go on."""

    error: PluginError

    def __post_init__(self) -> None:
        object.__setattr__(self, "params", dict(self.spec.params) | {"restarts": 1})

    def tool_version(self) -> str:
        """Raises the plugin's error."""
        raise self.error

    def perturb(self, model: nn.Module, problem: Problem) -> Tensor | None:
        """Raises the plugin's error."""
        raise self.error


def _check_type(where: str, name: str, value: Any, expected: type | tuple[type, ...]) -> None:
    kinds = expected if isinstance(expected, tuple) else (expected,)
    if isinstance(value, bool):
        fits = bool in kinds
    elif float in kinds:
        fits = isinstance(value, (int, float)) or (isinstance(value, str) and _is_number(value))
        fits = fits or (str in kinds and isinstance(value, str))
    else:
        fits = isinstance(value, kinds)
    if not fits:
        names = " or ".join(k.__name__ for k in kinds)
        scale = ' (or text such as "2/255" or "epsilon/4")' if float in kinds else ""
        raise BadSuite(f"{where}: {name} must be {names}{scale}, not {value!r}")
    if float in kinds and not _finite(value):
        raise BadSuite(f"{where}: {name} must be a finite number, not {str(value)[:80]}")


def _is_number(text: str) -> bool:
    """Whether a text stands for a number: a fraction, or a multiple of epsilon."""
    return bool(_SCALED.match(text) or _FRACTION.match(text))


def _finite(value: Any) -> bool:
    """Whether a value of type float, or the number that a text stands for, is finite; other texts pass."""
    if isinstance(value, str):
        if match := _FRACTION.match(value):
            return float(match[2]) > 0 and math.isfinite(scaled(value, 1.0))
        match = _SCALED.match(value)
        divisor = float(match["divisor"] or 1.0) if match else 1.0
        return match is None or (0 < divisor < math.inf and math.isfinite(scaled(value, 1.0)))
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False
