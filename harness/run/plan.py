"""The plan: how a run is computed, resolved once and kept with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness.measure.fast_copy.copies import Recipe


@dataclass(frozen=True)
class Plan:
    """What the numbers depend on beside model, suite, data and seed, up to rounding."""

    device: str
    batch_size: int
    precision: str = "float32"
    threads: int = 0
    """BLAS threads on the CPU; 0 on other devices, where they do not matter."""
    speedups: tuple[str, ...] = ()
    """What the attacked copy of the model is prepared by; see `harness.measure.fast_copy.copies.Recipe`."""
    channels_last: bool = False
    compiled: bool = False

    @property
    def recipe(self) -> Recipe:
        """How the attacked copy is made; the exact one attacks the reference itself."""
        return Recipe(self.speedups, self.channels_last, self.precision, self.compiled)  # type: ignore[arg-type]

    def as_dict(self) -> dict[str, Any]:
        """The plan as run.json spells it."""
        return {**asdict(self), "speedups": list(self.speedups)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Plan:
        """The plan of a run.json, of this version or an earlier one."""
        return cls(**{**value, "speedups": tuple(value.get("speedups", ()))})
