"""How a run was computed, and what that cost, as types of run.json and plan.json."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from harness.evidence.structs import Count, Positive, Seconds


class Plan(Struct, frozen=True, kw_only=True):
    """How a run is computed: what the numbers depend on beside the key, up to rounding; resolved once and kept."""

    device: str
    """Type of device."""
    batch_size: Positive
    """Samples that go through the model together."""
    precision: Literal["float32", "tf32", "bf16"] = "float32"
    """Of the attacked copy."""
    threads: Count = 0
    """BLAS threads on the CPU; 0 on other devices, where they do not matter."""
    speedups: tuple[str, ...] = ()
    """What the attacked copy of the model is prepared by."""
    channels_last: bool = False
    """Whether the copy keeps its images with the channels last."""
    compiled: bool = False
    """Whether the copy is compiled."""


class Device(Struct, frozen=True, kw_only=True):
    """Where the first start computed."""

    name: str
    """As the machine calls it."""
    torch: str = ""
    """As torch calls it."""


class Preflight(Struct, frozen=True, kw_only=True):
    """The doctor's look at the model before the run."""

    n: Positive
    """On how many samples."""
    seconds: Seconds
    """How long it took."""
    forced: bool
    """Whether ``--force`` overruled a refusal."""


class Calibration(Struct, frozen=True, kw_only=True):
    """Which measurements chose the plan."""

    measured: dict[str, Seconds]
    """Input gradients a second, by what was tried."""
    unfit: tuple[str, ...]
    """Why copies were not made."""
    cached: bool
    """Whether an earlier run on this machine measured it."""
    cut: bool | UnsetType = UNSET
    """Whether a budget left no time to try all; not there where nothing was cut."""


class CellCost(Struct, frozen=True, kw_only=True):
    """What one attack cost at one epsilon; null where the cost of a unit was lost."""

    attack: str
    """Its id."""
    epsilon_label: str
    """The epsilon; of an attack that runs once for all, the last."""
    units: Positive = 1
    """How many were finished."""
    seconds: Seconds | None
    """Sum over the units."""
    peak_memory: Count | None
    """Bytes; the largest of the units."""
    useful: Count | None
    """Backward passes that could change a result; null where they are not judged."""
    backwards: Count | None
    """Backward passes of single samples."""
    unconfirmed: Count | None
    """Proposals of a fast copy that the reference did not confirm."""
    again: Count | None
    """Samples that were attacked again for that."""


class ThrownAway(Struct, frozen=True, kw_only=True):
    """Work of one attack at one epsilon that was cut off when the time was over, and had to be begun again."""

    attack: str
    """Its id."""
    epsilon_label: str
    """The epsilon; of an attack that runs once for all, the last."""
    component: str | None
    """What of a cascade; null for a plain attack."""
    times: Positive
    """How often."""
    seconds: Seconds
    """All times together; ``compute`` does not have them."""
