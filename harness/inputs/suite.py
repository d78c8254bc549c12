"""A suite: a versioned list of attacks with an epsilon grid; `harness.inputs.suite_file` reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import cast

from harness.attack import BrokenAttack
from harness.base.modes import MODES
from harness.base.threat import Epsilon, parse_levels
from harness.errors import BadSuite, HarnessError, MissingPackage, PluginError, UsageError
from harness.inputs.adaptations import beside, is_pooled
from harness.inputs.prefixes import counts, edited, fault
from harness.inputs.registry import Registry
from harness.types import Attack, AttackSpec, Mode, Norm, Place, Threat


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A suite, checked but with its attacks still unresolved."""

    name: str
    version: int
    norm: Norm
    grid: tuple[Epsilon, ...]
    mode: Mode
    chunk: int
    attacks: tuple[AttackSpec, ...]
    description: str = ""
    mode_is_set: bool = False
    """Whether the file sets the mode itself; a flag that contradicts it is an error."""
    edited: tuple[str, ...] = ()
    """Attacks whose n is not the file's."""
    threat: Threat = "ball"
    """What may happen to an image."""
    place: Place = "drawn"
    """Where patches lie."""

    @property
    def label(self) -> str:
        """``name@version``, as results print it."""
        return f"{self.name}@{self.version}"

    def with_grid(self, epsilons: Sequence[str | float]) -> Suite:
        """The same attacks on another grid of epsilons, of covered shares or of severities."""
        return replace(self, grid=parse_levels(epsilons, self.norm, self.threat))

    def with_mode(self, mode: str) -> Suite:
        """The same suite in another mode.

        Raises:
            UsageError: no such mode, or the suite sets a different one itself.
        """
        if mode not in MODES:
            raise UsageError(f"unknown mode {mode!r}; use one of {', '.join(MODES)}")
        if self.mode_is_set and mode != self.mode:
            raise UsageError(f"suite {self.name!r} sets mode {self.mode!r} itself; it cannot run in mode {mode!r}")
        return replace(self, mode=cast(Mode, mode))

    def with_attack_n(self, wanted: Mapping[str, int | float | None]) -> Suite:
        """The same attacks on other numbers of samples (whole), or shares of them (below 1); None for all.

        Raises:
            UsageError: the suite has no such attack.
            BadSuite: such prefixes cannot be; see `harness.inputs.prefixes.fault`.
        """
        attacks = edited(self.attacks, wanted)
        if (wrong := fault(attacks, self.chunk)) is not None:
            raise BadSuite(f"suite {self.name!r}: {wrong.message}")
        off = [spec.id for spec, old in zip(attacks, self.attacks, strict=True) if spec.n != old.n]
        return replace(self, attacks=attacks, edited=tuple(off))

    def with_adapted(self, made: Sequence[AttackSpec]) -> Suite:
        """The same attacks, and behind them adapted ones, see `harness.inputs.adaptations.beside`."""
        return replace(self, attacks=(*self.attacks, *beside(self.attacks, made, MODES[self.mode].may_share)))

    def counts(self, n: int) -> tuple[int, ...]:
        """How many samples each attack runs on in a slice of `n`; raises as `harness.inputs.prefixes.counts`."""
        return counts(self.name, self.attacks, self.chunk, n, self.edited)

    def resolve(self) -> tuple[Attack, ...]:
        """The attacks, built by their plugins; parameters are checked here, tools are not imported.

        Raises:
            BadSuite: a parameter is unknown, missing or of the wrong type.
            UnknownName: no plugin gives this tool and method.
        """
        return tuple(self._attack(Registry("attacks"), spec) for spec in self.attacks)

    def _attack(self, registry: Registry, spec: AttackSpec) -> Attack:
        """The attack; one whose plugin is broken stays in the suite and fails when it is run, in its own cells."""
        if self.threat == "corruption":
            from harness.inputs.corruptions.attack import corruption  # brings torch, which names need not wait for

            return corruption(spec)
        name = f"{spec.tool}.{spec.method}"
        try:
            attack = registry.load(name)(spec, self.norm)
            if not isinstance(attack, Attack):
                raise TypeError(f"gave {type(attack).__name__}, which lacks a part of the Attack contract")
            if self.threat not in (known := getattr(attack, "threats", ("ball",))):
                raise BadSuite(
                    f"attack {spec.id!r}: {name} knows threat {', '.join(known)}, and the suite's is {self.threat!r}"
                )
            asks = getattr(attack, "pooled", False)
            if asks and not is_pooled(spec.adapt):
                raise BadSuite(f"attack {spec.id!r}: {name} asks about a pool, and its adapt names none: pool:RUN")
            if is_pooled(spec.adapt) and not asks:
                raise BadSuite(f"attack {spec.id!r}: {name} asks about no pool, harness.pool does: --adapt pool:RUN")
            for epsilon in self.grid:
                attack.parameters(epsilon.value)
            with suppress(MissingPackage):
                attack.tool_version()
        except BadSuite as error:
            raise BadSuite(f"suite {self.name!r}: {error}") from None
        except PluginError as error:
            return cast(Attack, BrokenAttack(spec, self.norm, error))
        except HarnessError:
            raise
        except Exception as error:  # whatever a stranger's factory raises
            words = f"attack {name!r} of package {registry.get(name).package} cannot be built"
            return cast(Attack, BrokenAttack(spec, self.norm, PluginError(f"{words}: {type(error).__name__}: {error}")))
        return attack
