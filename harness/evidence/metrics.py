"""Numbers from facts: pure folds, nothing else counts anything."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harness.base.estimates import Factor, Joined, Target, join, monotone
from harness.base.statistics import wilson
from harness.evidence.facts import BROKEN, CLEAN, IMPLIED, KNOWN, NO_GRADIENT


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
    right_clean: int = 0
    """Samples that are right unperturbed: fewer than `clean_correct` where every image is judged (corruptions)."""
    kept: int = 0
    """Of these, the ones that are not broken."""

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


def cells(facts: pa.Table, samples: int | Mapping[str, int] | None = None) -> list[Cell]:
    """One cell for each attack, component and epsilon, in order of appearance and ascending epsilon.

    Args:
        facts: Facts of one run.
        samples: Size of the slice, or by attack how many of its samples each runs on; samples without a fact are not
            known. None takes the facts there are.
    """
    names = ("attack", "component", "epsilon", "epsilon_label", "outcome", "reason")
    columns = {name: facts[name].to_pylist() for name in names}
    counts = {name: facts[name].to_numpy(zero_copy_only=False) for name in ("forwards", "backwards")}
    outcomes = np.asarray(columns["outcome"], dtype=object)
    reasons = np.asarray(columns["reason"], dtype=object)
    sources = facts["source"].to_numpy(zero_copy_only=False)
    right = pc.fill_null(pc.equal(facts["clean_pred"], facts["label"]), False).to_numpy(zero_copy_only=False)
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
        asked = samples.get(key[0], 0) if isinstance(samples, Mapping) else samples or 0
        absent = max(0, asked - len(rows))
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
                right_clean=int(right[rows].sum()),
                kept=int((right[rows] & (mine == "survived")).sum()),
            )
        )
    return found


@dataclass(frozen=True)
class Drawn:
    """What the attacks on one prefix of the slice left there of the samples that stood before them."""

    attacks: tuple[str, ...]
    n: int
    """Length of the prefix."""
    kept: int
    drawn: int


@dataclass(frozen=True, kw_only=True)
class WorstCase:
    """The union over all attacks at one epsilon; an estimate if some of them ran on a prefix of the slice only."""

    epsilon: float
    epsilon_label: str
    n: int
    surviving: int
    """Samples that no attack broke which ran on all of them."""
    complete: bool
    full: tuple[str, ...] = ()
    """The attacks that ran on all samples, if others did not."""
    further: tuple[Drawn, ...] = ()
    """The attacks that did not, those on one prefix together; they make the figure an estimate."""
    without: tuple[str, ...] = ()
    """Attacks to which the model gave no gradient, here or below, and for which adapted ones answer."""
    shown: Joined | None = None
    """The estimate for images of this kind, not above that of a smaller epsilon."""
    of_slice: tuple[float, float] | None = None
    """Interval of what all attacks would leave of this very slice."""

    @property
    def robust_accuracy(self) -> float | None:
        """Share of all samples that no attack broke; None unless every attack's cell is complete."""
        if not self.complete or not self.n:
            return None
        return self.shown.accuracy if self.shown is not None else self.surviving / self.n

    @property
    def ci95(self) -> tuple[float, float] | None:
        """Wilson interval of the robust accuracy; of an estimate the one of `harness.base.estimates.join`."""
        if not self.complete or not self.n:
            return None
        return self.shown.interval if self.shown is not None else wilson(self.surviving, self.n)

    @property
    def status(self) -> str:
        """``ok``, ``estimated`` or ``missing``."""
        return "missing" if self.robust_accuracy is None else "estimated" if self.further else "ok"

    @property
    def lowered(self) -> bool:
        """Whether the product of the factors is above what is shown, which is that of a smaller epsilon."""
        return self.shown is not None and self.joined().accuracy > self.shown.accuracy

    def joined(self, target: Target = "population") -> Joined:
        """The estimate by this epsilon's factors alone."""
        return join(Factor(self.surviving, self.n), [Factor(one.kept, one.drawn) for one in self.further], target)


def worst_case(
    facts: pa.Table,
    samples: int | None = None,
    attacks: int | None = None,
    drawn: Mapping[str, int] | None = None,
    adapted: Collection[str] = (),
) -> list[WorstCase]:
    """At each epsilon, the samples that no attack broke there or at any smaller epsilon of the grid.

    A witness of a smaller ball lies in the larger one, whichever attack found it; so the worst case falls with epsilon
    even where a single-step attack's own accuracy rises. It is complete if every attack is, there and below.

    One thing may be missing: what an attack for which the model has no gradient would have found. An adapted attack
    that had gradients answers in its stead where it knows of the sample, and so does whatever broke it. Of an estimate,
    whose attacks ran on different samples, nothing may be missing.

    Args:
        facts: Facts of one run.
        samples: Size of the slice, as in `cells`.
        attacks: Attacks of the suite; one without a fact is not known. None takes those there are.
        drawn: By attack, in the suite's order, on how many samples it runs; None for all attacks on all.
        adapted: The adapted ones among the attacks.
    """
    whole = facts.filter(pc.and_(pc.not_equal(facts["attack"], CLEAN), pc.is_null(facts["component"])))
    ids = whole["sample_id"].to_numpy()
    outcomes = whole["outcome"].to_numpy(zero_copy_only=False)
    epsilons = whole["epsilon"].to_numpy()
    names = whole["attack"].to_numpy(zero_copy_only=False)
    labels = dict(zip(epsilons.tolist(), whole["epsilon_label"].to_pylist(), strict=True))
    broken = np.isin(outcomes, BROKEN)  # a reached target is a wrong class too
    known = np.isin(outcomes, KNOWN)
    answers = known & np.isin(names, _with_gradients(whole, adapted))
    blind = pc.fill_null(pc.equal(whole["reason"], NO_GRADIENT), False).to_numpy(zero_copy_only=False)
    everyone = set(ids.tolist())
    n = max(samples or 0, len(everyone))
    seen = tuple(dict.fromkeys(names.tolist()))
    groups = [(seen, n, attacks or len(seen))]
    if drawn is not None:
        parts = [(count, tuple(group)) for count, group in groupby(drawn, lambda name: drawn[name])]
        groups = [(group, count, len(group)) for count, group in parts]
    standing = everyone - set(ids[outcomes == "clean_wrong"].tolist())
    fallen: list[set[int]] = [set() for _ in groups]
    complete, without = True, set[str]()
    found = []
    for epsilon in sorted(labels):
        left, further = standing, []
        for place, (group, count, asked) in enumerate(groups):
            here = (epsilons == epsilon) & np.isin(names, group)
            fallen[place] |= set(ids[here & broken].tolist())
            unknown = here & ~known
            if len(groups) == 1 and unknown.any():
                instead = fallen[place] | set(ids[answers & (epsilons == epsilon)].tolist())
                excused = unknown & blind & np.isin(ids, list(instead))
                without |= set(names[excused].tolist())
                unknown &= ~excused
            complete &= not unknown.any() and int(here.sum()) == asked * count
            before = left if place == 0 else left & set(ids[here].tolist())
            left = before - fallen[place]
            if place:
                further.append(Drawn(group, count, len(left), len(before)))
            else:
                surviving = len(left)
        full = groups[0][0] if further else ()
        found.append(
            WorstCase(
                epsilon=epsilon,
                epsilon_label=labels[epsilon],
                n=n,
                surviving=surviving,
                complete=complete,
                full=full,
                further=tuple(further),
                without=tuple(name for name in seen if name in without) if complete else (),
            )
        )
    return _shown(found)


def _with_gradients(whole: pa.Table, adapted: Collection[str]) -> list[str]:
    """The adapted attacks that made backward passes."""
    made = whole.filter(pc.greater(pc.fill_null(whole["backwards"], 0), 0))["attack"]
    return [name for name in pc.unique(made).to_pylist() if name in adapted]


def _shown(found: Sequence[WorstCase]) -> list[WorstCase]:
    """The estimates among them as they are shown: none above that of a smaller epsilon."""
    known = [one for one in found if one.further and one.complete]
    shown = monotone([one.joined() for one in known])
    slices = monotone([one.joined("set") for one in known])
    estimated = [replace(o, shown=s, of_slice=f.interval) for o, s, f in zip(known, shown, slices, strict=True)]
    return [*estimated, *(one for one in found if not (one.further and one.complete))]


def sample_outcomes(facts: pa.Table, attack: str, epsilon: float) -> dict[int, bool]:
    """For each sample whether it is classified correctly and survives `attack` at `epsilon`."""
    mask = pc.and_(
        pc.and_(pc.equal(facts["attack"], attack), pc.equal(facts["epsilon"], epsilon)), pc.is_null(facts["component"])
    )
    part = facts.filter(mask)
    ids: Sequence[int] = part["sample_id"].to_pylist()
    outcomes: Sequence[Any] = part["outcome"].to_pylist()
    return {i: outcome == "survived" for i, outcome in zip(ids, outcomes, strict=True)}
