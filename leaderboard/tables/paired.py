"""Two runs on the same samples, cell by cell: the base of ``harness compare`` and of the gate's ``no-regression``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from harness.errors import BadRun
from leaderboard.rows import WORST, Difference, Pair, Score
from leaderboard.runs.means import shares_of
from leaderboard.runs.record import CLEAN_PLACE, Place, Record, Survivors, worst_is_attack
from leaderboard.tables.estimate_pairs import compare_estimates
from leaderboard.tables.statistics import ALPHA, Paired, compare_pair, compare_shares, holm


@dataclass(frozen=True, eq=False, kw_only=True)
class PairedCell:
    """One cell that is complete in both runs."""

    a: Score
    b: Score
    paired: Paired
    p_holm: float
    """Corrected over all cells of this comparison."""
    only_a: np.ndarray | None
    """Ids of the samples that only a gets right, ascending; None of estimates."""
    only_b: np.ndarray | None

    @property
    def significant(self) -> bool:
        """Whether the difference is significant after correction."""
        return self.p_holm <= ALPHA


def places(record: Record, only: Sequence[str] = ()) -> list[Place]:
    """Every cell of a run in reading order: clean, the attacks up the grid, the worst case where it says more.

    Args:
        record: The run.
        only: Attacks to keep beside clean, ``worst`` among them; empty keeps all.
    """
    suite = record.info.suite
    attacks = [attack.id for attack in suite.attacks]
    attacks += [] if worst_is_attack(record) and WORST not in only else [WORST]
    attacks = [attack for attack in attacks if not only or attack in only]
    return [CLEAN_PLACE, *((attack, label) for attack in attacks for label in suite.labels)]


def pairs_of(records: Sequence[Record]) -> list[Pair]:
    """Every pair of records of one table, which are given in its order; raises as `paired_cells`."""
    found = []
    for i, j in combinations(range(len(records)), 2):
        a, b = (j, i) if _pretrained(records[j], records[i]) else (i, j)
        cells, _ = paired_cells(records[a], records[b])
        twins = _pretrained(records[a], records[b])
        found.append(Pair(a, b, twins, tuple(_difference(cell) for cell in cells)))
    return found


def _pretrained(a: Record, b: Record) -> bool:
    """Whether a's card says: contrastive pre-training, then fine-tuning by b's defense, at the same threat model."""
    mine, theirs = (record.info.card or {} for record in (a, b))
    recipe = mine.get("recipe")
    options = recipe.get("options") if isinstance(recipe, Mapping) else None
    finetuned = options.get("finetune") if isinstance(options, Mapping) else None
    same = mine.get("trained_for") == theirs.get("trained_for") and mine.get("architecture") == theirs.get(
        "architecture"
    )
    return isinstance(finetuned, str) and finetuned == theirs.get("defense") and same


def _difference(cell: PairedCell) -> Difference:
    return Difference(
        attack=cell.a.attack,
        epsilon_label=cell.a.epsilon_label,
        difference=cell.paired.difference,
        ci95=cell.paired.interval,
        only_a=cell.paired.only_a,
        only_b=cell.paired.only_b,
        p_holm=cell.p_holm,
        significant=cell.significant,
        needed=cell.paired.needed,
    )


def paired_cells(a: Record, b: Record, attacks: Sequence[str] = ()) -> tuple[list[PairedCell], list[Place]]:
    """The cells that are complete in both of two comparable runs, and the places of the others.

    Args:
        a: The first run.
        b: The second run.
        attacks: As for `places`; p values are corrected over the cells that are kept.

    Raises:
        BadRun: the runs hold other samples, though their slice has the same name.
    """
    common = [place for place in places(a, attacks) if _alike(a, b, place)]
    if common and not (np.array_equal(a.sample_ids, b.sample_ids) and np.array_equal(a.labels, b.labels)):
        raise BadRun(f"runs {a.folder} and {b.folder} name the same data slice but hold other samples; verify both")
    pairs = differences(a, b, common)
    adjusted = holm([pairs[place].p for place in common])
    cells = [
        PairedCell(
            a=a.scores[place],
            b=b.scores[place],
            paired=pairs[place],
            p_holm=p,
            only_a=_only(a, b, place),
            only_b=_only(b, a, place),
        )
        for place, p in zip(common, adjusted, strict=True)
    ]
    return cells, [place for place in places(a, attacks) if place not in common]


def differences(a: Record, b: Record, of: Sequence[Place]) -> dict[Place, Paired]:
    """The difference of two runs on the same samples in each of these cells, which both have.

    Counts are compared by McNemar's test, estimates by the difference of the two; one with the other is not.
    """
    found = {p: compare_pair(*_both(a, b, p)) for p in of if p in a.survivors and p in b.survivors}
    for label in (label for attack, label in of if attack == WORST and _corrupts(a, b)):
        sides = [shares_of(record.info, record.survivors, label) for record in (a, b)]
        if sides[0] is not None and sides[1] is not None:
            found[WORST, label] = compare_shares(sides[0], sides[1])
    labels = [label for attack, label in of if attack == WORST and label in a.stages and label in b.stages]
    if labels:
        estimates = [[(r.scores[WORST, label].estimate, r.stages[label]) for label in labels] for r in (a, b)]
        one, other = ([(e, stages) for e, stages in side if e is not None] for side in estimates)
        found |= zip([(WORST, label) for label in labels], compare_estimates(one, other), strict=True)
    return found


def worst_differences(records: Sequence[Record], label: str) -> dict[tuple[int, int], tuple[float, float]]:
    """For each pair of records by place the difference of their worst cases at one epsilon, and its p value.

    Estimates are shown no higher than at a smaller epsilon, so all up to this one are compared.
    """
    found = {}
    grid = records[0].info.suite.labels
    upto = [(WORST, other) for other in grid[: grid.index(label) + 1]]
    for i, j in combinations(range(len(records)), 2):
        a, b = records[i], records[j]
        pair = differences(a, b, upto if a.stages or b.stages else upto[-1:])[WORST, label]
        found[i, j] = (pair.difference, pair.p)
    return found


def _corrupts(a: Record, b: Record) -> bool:
    """Whether both are of corruptions, whose kinds are averaged."""
    return a.info.suite.threat == b.info.suite.threat == "corruption"


def _both(a: Record, b: Record, place: Place) -> tuple[Survivors, Survivors]:
    """Who survives in each of two runs, of the samples that the attack was given in both."""
    given = a.given(place[0]) & b.given(place[0])
    return a.survivors[place][given], b.survivors[place][given]


def _alike(a: Record, b: Record, place: Place) -> bool:
    """Whether both runs have the cell, of as many samples; adapted attacks are each run's own."""
    mine, theirs = a.scores[place], b.scores.get(place)
    return theirs is not None and mine.known and theirs.known and mine.n == theirs.n


def _only(a: Record, b: Record, place: Place) -> np.ndarray | None:
    if place not in a.survivors or place not in b.survivors:
        return None
    return a.sample_ids[a.survivors[place] & ~b.survivors[place]]
