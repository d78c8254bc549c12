"""Numbers from facts: pure folds, nothing else counts anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harness.base.statistics import wilson
from harness.evidence.facts import BROKEN, CLEAN, IMPLIED, KNOWN


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One attack (or one component of a cascade) at one epsilon."""

    attack: str
    component: str | None
    epsilon: float
    epsilon_label: str
    n: int
    clean_correct: int
    """Samples not known to be wrong unperturbed."""
    broken: int
    incomplete: int
    """Samples whose outcome is not known; the cell has no accuracy then."""
    forwards: int
    backwards: int
    transferred: int = 0
    """Broken ones whose witness another attack found (mode ``worst-case``)."""
    implied: int = 0
    """Survivors that were not attacked here, because they survived a larger epsilon (mode ``bisection``)."""
    skipped: int = 0
    """Samples an earlier component of the cascade had broken; of the incomplete ones."""

    @property
    def attacked(self) -> int:
        """Samples this component was run on."""
        return self.clean_correct - self.skipped

    @property
    def unknown(self) -> int:
        """Samples that should have been attacked and were not, or not to the end."""
        return self.incomplete - self.skipped

    @property
    def status(self) -> str:
        """``ok``, ``partial`` or ``missing``."""
        if not self.incomplete and self.n:
            return "ok"
        return "missing" if self.incomplete >= self.clean_correct or not self.n else "partial"

    @property
    def robust_accuracy(self) -> float | None:
        """Share of all samples that are clean-correct and not broken; None unless the cell is complete."""
        return (self.clean_correct - self.broken) / self.n if self.status == "ok" else None

    @property
    def ci95(self) -> tuple[float, float] | None:
        """Wilson interval of the robust accuracy; None unless the cell is complete."""
        return wilson(self.clean_correct - self.broken, self.n) if self.status == "ok" else None


def clean_accuracy(facts: pa.Table) -> tuple[int, int]:
    """Correctly classified samples and all samples of the clean pass."""
    outcomes = facts.filter(pc.equal(facts["attack"], CLEAN))["outcome"]
    return outcomes.to_pylist().count("survived"), len(outcomes)


def cells(facts: pa.Table, samples: int | None = None) -> list[Cell]:
    """One cell for each attack, component and epsilon, in order of appearance and ascending epsilon.

    Args:
        facts: Facts of one run.
        samples: Size of the slice; samples without a fact are not known. None takes the facts there are.
    """
    names = ("attack", "component", "epsilon", "epsilon_label", "outcome", "reason")
    columns = {name: facts[name].to_pylist() for name in names}
    counts = {name: facts[name].to_numpy(zero_copy_only=False) for name in ("forwards", "backwards")}
    outcomes = np.asarray(columns["outcome"], dtype=object)
    reasons = np.asarray(columns["reason"], dtype=object)
    sources = facts["source"].to_numpy(zero_copy_only=False)
    groups: dict[tuple[str, str | None, float, str], list[int]] = {}
    for row, key in enumerate(
        zip(columns["attack"], columns["component"], columns["epsilon"], columns["epsilon_label"], strict=True)
    ):
        if key[0] != CLEAN:
            groups.setdefault(key, []).append(row)
    order = {attack: place for place, attack in enumerate(dict.fromkeys(key[0] for key in groups))}
    found = []
    for key in sorted(groups, key=lambda k: (order[k[0]], k[2], k[1] is not None)):
        attack, component, epsilon, label = key
        rows = np.asarray(groups[key])
        mine = outcomes[rows]
        absent = max(0, (samples or 0) - len(rows))
        found.append(
            Cell(
                attack=attack,
                component=component,
                epsilon=epsilon,
                epsilon_label=label,
                n=len(rows) + absent,
                clean_correct=int((mine != "clean_wrong").sum()) + absent,
                broken=int(np.isin(mine, BROKEN).sum()),
                incomplete=int((~np.isin(mine, KNOWN)).sum()) + absent,
                forwards=int(np.nansum(counts["forwards"][rows].astype(float))),
                backwards=int(np.nansum(counts["backwards"][rows].astype(float))),
                transferred=int((sources[rows] == "transfer").sum()),
                implied=int((reasons[rows] == IMPLIED).sum()),
                skipped=int((reasons[rows] == "cascade").sum()),
            )
        )
    return found


@dataclass(frozen=True)
class WorstCase:
    """The union over all attacks at one epsilon."""

    epsilon: float
    epsilon_label: str
    n: int
    surviving: int
    complete: bool

    @property
    def robust_accuracy(self) -> float | None:
        """Share of all samples that no attack broke; None unless every attack's cell is complete."""
        return self.surviving / self.n if self.complete and self.n else None

    @property
    def ci95(self) -> tuple[float, float] | None:
        """Wilson interval of the robust accuracy."""
        return wilson(self.surviving, self.n) if self.complete and self.n else None


def worst_case(facts: pa.Table, samples: int | None = None, attacks: int | None = None) -> list[WorstCase]:
    """At each epsilon, the samples that no attack broke there or at any smaller epsilon of the grid.

    A witness of a smaller ball lies in the larger one, whichever attack found it; so the worst case falls with epsilon
    even where a single-step attack's own accuracy rises. It is complete if every attack is, there and below.

    Args:
        facts: Facts of one run.
        samples: Size of the slice, as in `cells`.
        attacks: Attacks of the suite; one without a fact is not known. None takes those there are.
    """
    whole = facts.filter(pc.and_(pc.not_equal(facts["attack"], CLEAN), pc.is_null(facts["component"])))
    ids = whole["sample_id"].to_numpy()
    outcomes = whole["outcome"].to_numpy(zero_copy_only=False)
    epsilons = whole["epsilon"].to_numpy()
    attacks = attacks or len(whole["attack"].unique())
    labels = dict(zip(epsilons.tolist(), whole["epsilon_label"].to_pylist(), strict=True))
    broken = np.isin(outcomes, BROKEN)  # a reached target is a wrong class too
    known = np.isin(outcomes, KNOWN)
    everyone = set(ids.tolist())
    n = max(samples or 0, len(everyone))
    standing = everyone - set(ids[outcomes == "clean_wrong"].tolist())
    complete = True
    found = []
    for epsilon in sorted(labels):
        here = epsilons == epsilon
        standing -= set(ids[here & broken].tolist())
        complete &= bool(known[here].all()) and int(here.sum()) == attacks * n
        found.append(WorstCase(epsilon, labels[epsilon], n, len(standing), complete))
    return found


def sample_outcomes(facts: pa.Table, attack: str, epsilon: float) -> dict[int, bool]:
    """For each sample whether it is classified correctly and survives `attack` at `epsilon`."""
    mask = pc.and_(
        pc.and_(pc.equal(facts["attack"], attack), pc.equal(facts["epsilon"], epsilon)), pc.is_null(facts["component"])
    )
    part = facts.filter(mask)
    ids: Sequence[int] = part["sample_id"].to_pylist()
    outcomes: Sequence[Any] = part["outcome"].to_pylist()
    return {i: outcome == "survived" for i, outcome in zip(ids, outcomes, strict=True)}
