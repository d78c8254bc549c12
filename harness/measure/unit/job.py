"""A unit of work before it runs, and what it found; and what all units of a run share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from harness.base.deadline import Deadline
from harness.base.threat import Epsilon
from harness.base.torch_state import Precision
from harness.inputs.draws import Draws
from harness.inputs.reference import ReferenceModel
from harness.measure.adapted.prepare import AdaptedCopy
from harness.measure.fast_copy.copies import FastCopy
from harness.measure.unit.interim import Interim
from harness.measure.unit.isolation import Guard
from harness.measure.unit.outcome import Chunk
from harness.measure.unit.shared import Offered
from harness.types import Attack, AttackSpec, Finding, Mode, Norm

EXACT: Precision = "float32"
GRID = "grid"
"""Epsilon name of a unit that covers the whole grid."""
SUMS = ("unconfirmed", "again", "useful")
"""What a unit counts beside its facts, by attribute name of `UnitResult`."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all units of a run share."""

    reference: ReferenceModel
    norm: Norm
    mode: Mode
    seed: int
    batch_size: int
    keep_rows: bool = False
    """Keep frozen rows in the network's batch, see `harness.measure.unit.observer.ObservedModel`."""
    deadline: Deadline = field(default_factory=Deadline)
    """When the run's budget ends."""
    copy: FastCopy | None = None
    """What tools differentiate instead of the reference, see `harness.measure.fast_copy.copies`; it only proposes."""
    adapted: Mapping[str, AdaptedCopy] = field(default_factory=dict)
    """By attack id what an adapted attack differentiates, see `harness.measure.adapted`; it only proposes."""
    places: Sequence[Path] = ()
    """Runs, or folders of runs, among which adaptations look for the runs that they name."""
    unit_timeout: float | None = None
    """Seconds after which a unit is given up; None never."""
    guard: Guard | None = None
    """Puts the model back where an attack changed it."""
    draws: Draws | None = None
    """How the reference is asked if it is randomized; None for one forward. Then broken rows are kept in the batch, as
    the others' draws would change without them."""


@dataclass(kw_only=True)
class UnitResult:
    """What one unit found."""

    facts: pa.Table
    witnesses: pa.Table
    findings: list[Finding] = field(default_factory=list)
    log: str = ""
    unconfirmed: int = 0
    """Proposals of the tool's queries that the reference did not confirm."""
    again: int = 0
    """Samples that were therefore attacked again, through the reference itself."""
    useful: int = 0
    """Backwards that could change a result, see `harness.measure.unit.observer.ObservedModel.useful`."""
    reused: bool = False
    """Whether an earlier run had computed the unit."""
    out_of_memory: int = 0


@dataclass(kw_only=True)
class Job:
    """One unit before it runs.

    Attributes:
        setting: Model, norm, mode, seed and batch of the run.
        attack: The resolved attack.
        spec: The attack as the suite has it.
        grid: The one epsilon of this unit; for kinds ``minimum`` and ``decision`` the whole grid.
        chunk: The samples.
        before: Facts of the same attack and chunk whose witnesses are inherited: those at the next smaller epsilon, or
            in mode ``bisection`` of all smaller ones; None at the smallest, for single steps and in faithful mode.
        stored: Chunk rows, bool [n], whose witness under this attack is on disk from a smaller epsilon.
        offered: Witnesses of other attacks, whose rows are not attacked; None if they are not shared.
        implied: Chunk rows, bool [n], that survived a larger epsilon and are not attacked; in mode ``bisection``.
        interim: Where what is found between two calls of the tool is kept; None keeps nothing.
        stop: Asked between two calls: whether the unit ends there, as the run is to end.
    """

    setting: Setting
    attack: Attack
    spec: AttackSpec
    grid: Sequence[Epsilon]
    chunk: Chunk
    before: pa.Table | None = None
    stored: np.ndarray | None = None
    interim: Interim | None = None
    stop: Callable[[], bool] = lambda: False
    offered: Offered | None = None
    implied: np.ndarray | None = None
