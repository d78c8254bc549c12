"""Two runs on the same samples, cell by cell: the base of ``harness compare`` and of the gate's ``no-regression``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from harness.errors import BadRun
from leaderboard.rows import WORST, Difference, Pair, Score
from leaderboard.runs.record import CLEAN_PLACE, Place, Record, worst_is_attack
from leaderboard.tables.statistics import ALPHA, Paired, compare_pair, holm


@dataclass(frozen=True, eq=False, kw_only=True)
class PairedCell:
    """One cell that is complete in both runs."""

    a: Score
    b: Score
    paired: Paired
    p_holm: float
    """Corrected over all cells of this comparison."""
    only_a: np.ndarray
    """Ids of the samples that only a gets right, ascending."""
    only_b: np.ndarray

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
    attacks += [] if worst_is_attack(record.info) and WORST not in only else [WORST]
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
    common = [place for place in places(a, attacks) if place in a.survivors and place in b.survivors]
    if common and not (np.array_equal(a.sample_ids, b.sample_ids) and np.array_equal(a.labels, b.labels)):
        raise BadRun(f"runs {a.folder} and {b.folder} name the same data slice but hold other samples; verify both")
    pairs = [compare_pair(a.survivors[place], b.survivors[place]) for place in common]
    adjusted = holm([pair.p for pair in pairs])
    cells = [
        PairedCell(
            a=a.scores[place],
            b=b.scores[place],
            paired=pair,
            p_holm=p,
            only_a=a.sample_ids[a.survivors[place] & ~b.survivors[place]],
            only_b=a.sample_ids[b.survivors[place] & ~a.survivors[place]],
        )
        for place, pair, p in zip(common, pairs, adjusted, strict=True)
    ]
    return cells, [place for place in places(a, attacks) if place not in common]
