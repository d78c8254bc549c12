"""Facts as the diagnosis reads them: one series for each attack (or component of a cascade) at each epsilon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from harness.base.modes import fixed_ball
from harness.evidence.facts import BROKEN, CLEAN, IMPLIED
from harness.evidence.suite_info import AttackInfo
from harness.measure.unit.shared import TRANSFER

ITERATED = ("pgd", "apgd", "bim", "eotpgd", "masked-pgd", "upgd")
"""Beginnings of methods that maximize a loss step by step; they must not be beaten by a single step."""
PER_SAMPLE = (
    "sample_ids", "labels", "outcome", "source", "reason", "query", "restart", "forwards", "backwards", "dead",
)  # fmt: skip
"""Fields of a series with one entry for each sample."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """One attack at one epsilon; arrays have one entry for each sample, by ascending sample id."""

    info: AttackInfo
    """The attack's entry in run.json."""
    component: str | None
    epsilon: float
    label: str
    sample_ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    outcome: NDArray[np.object_]
    source: NDArray[np.object_]
    reason: NDArray[np.object_]
    query: NDArray[np.float64]
    """Query that found the witness; NaN where none did."""
    restart: NDArray[np.float64]
    forwards: NDArray[np.float64]
    backwards: NDArray[np.float64]
    dead: NDArray[np.float64]
    """Backwards without a usable gradient; NaN where they were not counted."""
    by_gradient: bool
    """Whether the attack made backward passes at any epsilon."""

    @property
    def name(self) -> str:
        """``pgd-20``, or ``autoattack/square`` of a component."""
        return str(self.info.id) + (f" ({self.component})" if self.component else "")

    @property
    def n(self) -> int:
        """Samples that the attack runs on."""
        return len(self.outcome)

    @cached_property
    def attacked(self) -> NDArray[np.bool_]:
        """Samples attacked at this very epsilon: what another epsilon or another attack settled is left out."""
        ran = np.isin(self.outcome, ("witness", "survived"))
        return np.asarray(ran & (self.source != TRANSFER) & (self.reason != IMPLIED))

    @cached_property
    def broke(self) -> NDArray[np.bool_]:
        """Samples that this attack itself broke, at this very epsilon."""
        return np.asarray((self.outcome == "witness") & (self.source != TRANSFER))

    @cached_property
    def survived(self) -> NDArray[np.bool_]:
        """Samples that survived."""
        return np.asarray(self.outcome == "survived")

    @property
    def accuracy(self) -> float:
        """Robust accuracy, inherited witnesses counted."""
        return float(self.survived.mean()) if self.n else 0.0

    @property
    def clean_accuracy(self) -> float:
        """Share of samples that are right unperturbed."""
        return float((self.outcome != "clean_wrong").mean()) if self.n else 0.0

    @property
    def complete(self) -> bool:
        """Whether every sample's outcome is known."""
        return not np.isin(self.outcome, ("not_run", "error")).any()

    @property
    def method(self) -> str:
        """Name of the method, without the tool."""
        return str(self.info.method)

    @property
    def untargeted(self) -> bool:
        """Whether any wrong class counts as success."""
        return not self.info.targeted

    @property
    def fixed_ball(self) -> bool:
        """Whether the attack looks for any witness inside the ball, rather than for the nearest."""
        return fixed_ball(self.info)

    @property
    def rank(self) -> int | None:
        """0 for a single gradient step, 1 for an iterated attack, 2 for a cascade of such; None for all others."""
        if not (self.by_gradient and self.untargeted and self.fixed_ball):
            return None
        if any(str(name).startswith("apgd") for name in self.info.components):
            return 2
        if not self.info.iterative:
            return 0
        return 1 if self.method.startswith(ITERATED) else None

    @property
    def restarts(self) -> int:
        """How often the harness called the tool."""
        given = self.info.resolved.get(self.label, {}).get("restarts", self.info.params.get("restarts", 1))
        return int(given) if isinstance(given, int) and given > 0 and self.component is None else 1


def read(attacks: Sequence[AttackInfo], facts: pa.Table) -> list[Series]:
    """All series of a run, in the order of its attacks, ascending in epsilon.

    Args:
        attacks: ``suite.attacks`` of run.json.
        facts: All facts.
    """
    infos = {str(info.id): info for info in attacks}
    table = facts.filter(pc.not_equal(facts["attack"], CLEAN)).sort_by("sample_id")
    keys = table.group_by(["attack", "component", "epsilon", "epsilon_label"]).aggregate([("backwards", "sum")])
    groups = [group for group in keys.to_pylist() if group["attack"] in infos]
    places = {name: place for place, name in enumerate(infos)}
    groups.sort(key=lambda g: (places[g["attack"]], g["component"] or "", g["epsilon"]))
    gradients = {(g["attack"], g["component"]) for g in groups if g["backwards_sum"]}
    return [_series(infos[g["attack"]], table, g, (g["attack"], g["component"]) in gradients) for g in groups]


def _series(info: AttackInfo, table: pa.Table, group: Mapping[str, Any], by_gradient: bool) -> Series:
    component = table["component"]
    same = pc.is_null(component) if group["component"] is None else pc.equal(component, group["component"])
    mask = pc.and_(pc.equal(table["attack"], group["attack"]), pc.equal(table["epsilon"], group["epsilon"]))
    rows = table.filter(pc.fill_null(pc.and_(mask, same), False))

    def column(name: str) -> Any:
        return rows[name].to_numpy(zero_copy_only=False)

    return Series(
        info=info,
        component=group["component"],
        epsilon=group["epsilon"],
        label=group["epsilon_label"],
        sample_ids=column("sample_id"),
        labels=column("label"),
        outcome=column("outcome"),
        source=column("source"),
        reason=column("reason"),
        query=column("query_index").astype(float),
        restart=column("restart").astype(float),
        forwards=column("forwards").astype(float),
        backwards=column("backwards").astype(float),
        dead=column("dead_gradients").astype(float),
        by_gradient=by_gradient,
    )


def whole(series: Sequence[Series]) -> list[Series]:
    """Attacks as a whole, without the components of cascades."""
    return [one for one in series if one.component is None]


def leaves(series: Sequence[Series]) -> list[Series]:
    """What ran: the components of cascades, and attacks that have none."""
    split = {one.info.id for one in series if one.component is not None}
    return [one for one in series if one.component is not None or one.info.id not in split]


def comparable(one: Series, other: Series) -> bool:
    """Whether two series are about the same samples and complete."""
    same = one.n == other.n and bool((one.sample_ids == other.sample_ids).all())
    return same and one.complete and other.complete


def on(one: Series, ids: NDArray[np.int64]) -> Series:
    """The series on some of its samples only."""
    if np.array_equal(one.sample_ids, ids):
        return one
    mine = np.isin(one.sample_ids, ids)
    return replace(one, **{name: getattr(one, name)[mine] for name in PER_SAMPLE})


def together(*several: Series) -> list[Series]:
    """The series on the samples that all of them attacked."""
    ids = several[0].sample_ids
    for one in several[1:]:
        ids = np.intersect1d(ids, one.sample_ids)
    return [on(one, ids) for one in several]


def down(one: Series) -> NDArray[np.bool_]:
    """Samples that are broken, here or at a smaller epsilon."""
    return np.isin(one.outcome, BROKEN)
