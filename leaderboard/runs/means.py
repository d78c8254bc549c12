"""Corruptions in a record: every image counts, and what the kinds say together is their mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from harness.evidence.corrupted import mean_interval
from harness.evidence.run_info import RunInfo
from leaderboard.rows import WORST, Score
from leaderboard.runs.record import CLEAN_PLACE, Place, Survivors


def shares_of(info: RunInfo, survivors: Mapping[Place, Survivors], label: str) -> NDArray[np.float64] | None:
    """For each image the share of kinds under which it is read right at a severity, [n]; None if some are missing."""
    found = [survivors.get((attack.id, label)) for attack in info.suite.attacks]
    known = [right for right in found if right is not None]
    return np.mean(known, axis=0) if known and len(known) == len(found) else None


def with_means(
    info: RunInfo, scores: Mapping[Place, Score], survivors: Mapping[Place, Survivors]
) -> dict[Place, Score]:
    """The scores of a suite of corruptions: what is kept of the clean ones beside each, and the means over kinds."""
    clean, found = survivors.get(CLEAN_PLACE), dict(scores)
    if clean is not None:
        for place in (place for place in scores if place in survivors and place != CLEAN_PLACE):
            found[place] = replace(scores[place], kept=(int((survivors[place] & clean).sum()), int(clean.sum())))
    for level in info.suite.grid:
        shares, kinds = shares_of(info, survivors, level.label), len(info.suite.attacks)
        score = Score(
            attack=WORST, epsilon=level.value, epsilon_label=level.label, n=info.data.n, status="missing", kinds=kinds
        )
        if shares is not None and clean is not None:
            kept = round(kinds * float(shares[clean].sum())), kinds * int(clean.sum())
            correct, interval = round(kinds * float(shares.sum())), mean_interval(shares)
            score = replace(score, status="ok", correct=correct, ci95=interval, kept=kept)
        found[WORST, level.label] = score
    return found
