"""Two runs of one model as one: a cheap suite on many samples and a dear one on the first few of the same order.

The worst case of both is estimated, not counted: the share of all samples that the cheap run leaves, times the share of
those standing there on the dear run's prefix that no attack of the dear run broke (`harness.base.estimates`). Only
epsilons that both runs have count, and a sample is broken at an epsilon if it was broken at a common one that is not
larger: else a finer grid would break more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from harness.base.order import fixed_order, order_of
from harness.base.statistics import wilson
from harness.base.threat import Epsilon
from harness.errors import HarnessError
from harness.evidence.run_info import RunInfo
from harness.evidence.suite_info import AttackInfo
from leaderboard.rows import WORST, Note, Score
from leaderboard.runs.estimated import Group, estimated
from leaderboard.runs.record import CLEAN_PLACE, JoinedRuns, Place, Record, Survivors

FLIPS = 0.001
"""Share of the prefix whose clean prediction may be right in one run and wrong in the other: near a border, rounded."""


class NotJoined(HarnessError):
    """Two runs of one model that cannot be joined; the message says why."""


def join_runs(cheap: Record, dear: Record) -> Record:
    """The two runs as one row.

    Args:
        cheap: The run on more samples.
        dear: The run on the first few of them, of the same model, data set, norm, mode and seed, at a common epsilon.

    Returns:
        A record with the clean pass and the attacks of `cheap` at the common epsilons, behind them the adapted attacks
        that `dear` alone has, on its samples, and the estimated worst case.

    Raises:
        NotJoined: the dear run's samples are not the first of the cheap one's, clean predictions differ, or a cell is
            not complete.
    """
    common = common_grid(cheap, dear)
    rows = _prefix(cheap, dear)
    for record in (cheap, dear):
        needed = [(a.id, label) for a in record.info.suite.attacks for label in _labels(record, common)]
        if CLEAN_PLACE not in record.survivors or not all(place in record.survivors for place in needed):
            raise NotJoined(f"{_pair(cheap, dear)} are not joined: cells of {record.folder.name} are not complete")
    right, dear_right = cheap.survivors[CLEAN_PLACE].copy(), dear.survivors[CLEAN_PLACE]
    flips = right[rows] != dear_right
    count = int(flips.sum())
    if count > FLIPS * len(rows):
        raise NotJoined(
            f"{_pair(cheap, dear)} are not joined: {count} of {len(rows):,} clean predictions are right in one and"
            f" wrong in the other, more than {100 * FLIPS:g} %; measure both with the same device and packages"
        )
    right[rows[flips]] = False
    sides = (
        (cheap, np.arange(len(right), dtype=np.int64), right),
        (dear, rows, right[rows]),
    )
    groups = [Group(_names(record), places, _standing(record, common, clean)) for record, places, clean in sides]
    worst, stages = estimated(common, groups)
    scores = _scores(cheap, right, [epsilon.label for epsilon in common]) | worst
    survivors = {place: cheap.survivors[place] & right for place in scores if place[0] != WORST}
    attacked: dict[str, Survivors] = {}
    for attack in _own(cheap, dear):
        attacked[attack.id] = np.zeros(len(right), bool)
        attacked[attack.id][rows] = True
        for epsilon, label in zip(common, _labels(dear, common), strict=True):
            place, alive = (attack.id, epsilon.label), np.zeros(len(right), bool)
            alive[rows] = dear.survivors[attack.id, label] & right[rows]
            survivors[place] = alive
            scores[place] = replace(_counted(dear.scores[attack.id, label], alive), epsilon_label=epsilon.label)
    return Record(
        folder=cheap.folder.with_name(f"{cheap.folder.name} x {dear.folder.name}"),
        info=_info(cheap, dear, common),
        scores=scores,
        survivors=survivors,
        attacked=attacked,
        sample_ids=cheap.sample_ids,
        labels=cheap.labels,
        mistakes={"0": cheap.mistakes["0"]} if "0" in cheap.mistakes else {},
        findings=_findings(cheap, dear, count),
        grade=max(cheap.grade, dear.grade) if cheap.grade and dear.grade else None,
        verified=min((cheap, dear), key=lambda record: record.standing).verified,
        no_pictures="see the pages of the two runs",
        stages=stages,
        joined=JoinedRuns(cheap=cheap, dear=dear),
    )


def common_grid(cheap: Record, dear: Record) -> tuple[Epsilon, ...]:
    """The epsilons that both runs have, as the cheap run writes them, ascending."""
    return tuple(e for e in cheap.info.suite.grid if any(_same(e.value, o.value) for o in dear.info.suite.grid))


def adds(cheap: Record, dear: Record) -> bool:
    """Whether the dear run has an attack that the cheap one lacks; else there is nothing to estimate."""
    known = [_what(attack) for attack in cheap.info.suite.attacks]
    return any(_what(attack) not in known for attack in dear.info.suite.attacks)


def _own(cheap: Record, dear: Record) -> list[AttackInfo]:
    """Adapted attacks that the dear run alone has; of one that both have the cheap run's cells are of more samples."""
    known = cheap.info.suite.adapted
    return [attack for attack in dear.info.suite.attacks if attack.adapt and attack.id not in known]


def _what(attack: AttackInfo) -> tuple[object, ...]:
    return attack.tool, attack.method, attack.params, attack.adaptations


def _prefix(cheap: Record, dear: Record) -> NDArray[np.int64]:
    """Places in the cheap run of the dear run's samples, which must be its first."""
    ids, labels = cheap.sample_ids, cheap.labels
    if not len(dear.sample_ids) or not len(ids):
        raise NotJoined(f"{_pair(cheap, dear)} are not joined: a clean pass is not complete")
    if not _begins(ids.astype("<i8").tobytes(), dear.sample_ids.astype("<i8").tobytes()):
        raise NotJoined(
            f"{_pair(cheap, dear)} are not joined: the samples of {dear.folder.name} are not the first"
            f" {len(dear.sample_ids):,} of {cheap.folder.name} in the fixed order"
        )
    rows = np.searchsorted(ids, dear.sample_ids)
    if not np.array_equal(labels[rows], dear.labels):
        raise NotJoined(f"{_pair(cheap, dear)} are not joined: the same samples have other labels")
    return np.asarray(rows, np.int64)


@lru_cache(maxsize=64)
def _begins(cheap: bytes, dear: bytes) -> bool:
    """Whether the dear run's samples are the first of the cheap one's: in the order of that set, or of its data set."""
    ids, few = (np.frombuffer(text, "<i8").astype(np.int64) for text in (cheap, dear))

    def first(order: NDArray[np.int64]) -> bool:
        return np.array_equal(np.sort(order[: len(few)]), few)

    return first(ids[fixed_order(len(ids))]) or ((order := order_of(ids)) is not None and first(order))


def _labels(record: Record, grid: Sequence[Epsilon]) -> list[str]:
    """How the record itself writes these epsilons."""
    return [own.label for epsilon in grid for own in record.info.suite.grid if _same(own.value, epsilon.value)]


def _names(record: Record) -> tuple[str, ...]:
    return tuple(attack.id for attack in record.info.suite.attacks)


def _standing(record: Record, grid: Sequence[Epsilon], right: Survivors) -> list[Survivors]:
    """At each of these epsilons who of those that are `right` no attack broke at this or a smaller one of them."""
    found = []
    for label in _labels(record, grid):
        for attack in _names(record):
            right = right & record.survivors[attack, label]
        found.append(right)
    return found


def _scores(cheap: Record, right: Survivors, grid: Sequence[str]) -> dict[Place, Score]:
    """Clean and the cheap run's attacks; samples whose clean prediction flips count as wrong."""
    places = [CLEAN_PLACE, *((attack.id, label) for attack in cheap.info.suite.attacks for label in grid)]
    return {place: _counted(cheap.scores[place], cheap.survivors[place] & right) for place in places}


def _counted(score: Score, alive: Survivors) -> Score:
    correct = int(alive.sum())
    return replace(score, correct=correct, ci95=wilson(correct, score.n))


def _info(cheap: Record, dear: Record, grid: Sequence[Epsilon]) -> RunInfo:
    """The cheap run's words, on the common grid, of both runs where they add up."""
    other, labels, values = dear.info, tuple(e.label for e in grid), tuple(e.value for e in grid)
    own = [structs.replace(attack, n=other.data.n) for attack in _own(cheap, dear)]
    return structs.replace(
        cheap.info,
        suite=structs.replace(
            cheap.info.suite, labels=labels, epsilons=values, attacks=(*cheap.info.suite.attacks, *own)
        ),
        finished=max(cheap.info.finished or "", other.finished or "") or None,
        seconds=cheap.info.seconds + other.seconds,
        status=cheap.info.status if cheap.info.status != "complete" else other.status,
    )


def _findings(cheap: Record, dear: Record, flips: int) -> tuple[Note, ...]:
    """Those of both runs that are no mere information, with the suite they are of, and what became of flips."""
    told: dict[tuple[str, str, str], list[str]] = {}
    for record in (cheap, dear):
        for note in record.findings:
            if note.level == "info":
                continue
            told.setdefault((note.check, note.level, note.message), []).append(record.info.suite.label)
    notes = [Note(check, level, f"{message} ({', '.join(dict.fromkeys(suites))})")
             for (check, level, message), suites in told.items()]  # fmt: skip
    words = f"{flips} clean predictions are right in one run and wrong in the other; they count as wrong"
    return (*notes, *([Note("joined", "info", words)] if flips else []))


def _pair(cheap: Record, dear: Record) -> str:
    return f"runs {cheap.folder.name} and {dear.folder.name}"


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-9)
