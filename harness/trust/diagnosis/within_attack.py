"""Checks of one attack alone: did it stop too early, did it have gradients, did it throw witnesses away.

After the indicators of attack failure of Pintor et al. 2022 (arXiv:2106.09947), here as folds over facts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from harness.base.modes import MODES
from harness.base.statistics import binomial_at_least
from harness.evidence.findings import found, percent
from harness.trust.diagnosis.series import Series, down, leaves, whole
from harness.types import Finding

LATE = 0.9
"""Where the last tenth of a restart's queries begins."""
LATE_SHARE, WORTHWHILE, FEWEST = 0.1, 0.01, 3
"""Share of witnesses, share of samples and number of samples from which more effort would pay."""
DEAD_SHARE, MOSTLY_DEAD = 0.01, 0.25
SILENT, VERY_SILENT = 0.01, 0.1
UNBOUNDED = 0.5
"""In a linf ball of this radius around any image in [0,1] lies the same gray image."""


def steps(series: Sequence[Series]) -> list[Finding]:
    """P22: the share of witnesses first found in the last tenth of the queries; more steps would find more."""

    def late(one: Series) -> tuple[float, int] | None:
        if not (one.info.iterative and one.fixed_ball) or not one.survived.any() or one.source[one.broke].size == 0:
            return None
        budget = float(one.forwards[one.survived].max()) / one.restarts
        if budget < 10 or np.isnan(one.query[one.broke]).all():
            return None  # a handful of steps has no last tenth; faithful runs see no queries
        within = one.query - np.nan_to_num(one.restart) * budget
        count = int((one.broke & (np.isnan(one.query) | (within >= LATE * budget))).sum())
        return count / int(one.broke.sum()), count

    def message(one: Series, share: float, gain: float) -> str:
        return (
            f"{one.name} finds {percent(share)} of its witnesses at {one.label} in the last tenth of its queries"
            f" ({percent(gain)} of the samples); it was stopped while it still worked: give it more steps"
        )

    return _worst_of(leaves(series), late, "P22", LATE_SHARE, message)


def restarts(series: Sequence[Series]) -> list[Finding]:
    """P23: witnesses that only the last restart found; more restarts would find more."""

    def last(one: Series) -> tuple[float, int] | None:
        if one.restarts < 2 or not one.fixed_ball or not one.broke.any():
            return None
        count = int((one.broke & (one.restart == one.restarts - 1)).sum())
        return count / one.n, count

    def message(one: Series, share: float, _gain: float) -> str:
        return (
            f"the last of {one.restarts} restarts of {one.name} still breaks {percent(share)} of the samples at"
            f" {one.label}; starting points matter here: give it more restarts"
        )

    return _worst_of(leaves(series), last, "P23", WORTHWHILE, message)


def _worst_of(
    series: Sequence[Series],
    measure: Callable[[Series], tuple[float, int] | None],
    check: str,
    limit: float,
    message: Callable[[Series, float, float], str],
) -> list[Finding]:
    """One warning for each attack, at the epsilon where most samples would be gained."""
    worst: dict[str, tuple[int, float, Series]] = {}
    for one in series:
        measured = measure(one)
        if measured is None:
            continue
        share, count = measured
        pays = share >= limit and count >= FEWEST and count / one.n >= WORTHWHILE
        if pays and count > worst.get(one.name, (0, 0.0, one))[0]:
            worst[one.name] = (count, share, one)
    return [
        found(check, "warn", message(one, share, count / one.n), share, limit) for count, share, one in worst.values()
    ]


def dead_gradients(series: Sequence[Series]) -> list[Finding]:
    """P7: survivors whose gradients were mostly zero or not finite; they were not attacked at all."""
    findings = []
    for group in _by_name(leaves(series)):
        shares = []
        for one in group:
            counted = one.survived & (one.backwards > 0) & ~np.isnan(one.dead)
            if counted.sum() >= FEWEST:
                shares.append((float((one.dead[counted] > 0.5 * one.backwards[counted]).mean()), one.label))
        share, label = max(shares, default=(0.0, ""))
        if share > DEAD_SHARE:
            message = (
                f"{percent(share)} of those that survive {group[0].name} at {label} had no gradient in most steps; they"
                " were never attacked: use another loss, or attacks without gradients"
            )
            findings.append(found("P7", "error" if share > MOSTLY_DEAD else "warn", message, share, DEAD_SHARE))
    return findings


def silent_success(series: Sequence[Series], mode: str) -> list[Finding]:
    """P24: witnesses that the tool had asked about and did not return; known in watch mode only."""
    if MODES[mode].judges != "queries" or MODES[mode].freezes:
        return []
    findings = []
    for group in _by_name(whole(series)):
        shares = []
        for one in group:
            if one.fixed_ball and (lost := int((one.broke & (one.source == "query")).sum())) >= FEWEST:
                shares.append((lost / int(one.broke.sum()), one.label))
        share, label = max(shares, default=(0.0, ""))
        if share >= SILENT:
            message = (
                f"{group[0].name} walks away from {percent(share)} of the witnesses it finds at {label} and returns"
                " something harmless; the harness counts them, the tool by itself would report a higher accuracy"
            )
            findings.append(found("P24", "warn" if share >= VERY_SILENT else "info", message, share, SILENT))
    return findings


def unbounded(series: Sequence[Series], ruler: str) -> list[Finding]:
    """P9: at linf 0.5 all images can be made the same, so no model is right more often than its commonest label.

    Carlini et al. 2019 (arXiv:1902.06705) ask that unbounded attacks reach chance; an iterated one that does not has
    failed.
    """
    if ruler != "linf":
        return []
    findings = []
    for group in _by_name(whole(series)):
        for one in group:
            if one.rank not in (1, 2) or one.epsilon < UNBOUNDED or not one.complete or one.n == 0:
                continue
            commonest = int(np.unique(one.labels, return_counts=True)[1].max()) / one.n
            standing = one.n - int(down(one).sum()) - int((one.outcome == "clean_wrong").sum())
            if binomial_at_least(standing, one.n, commonest) < 0.001:
                message = (
                    f"{one.name} leaves {percent(standing / one.n)} standing at {one.label}, where every image can be"
                    f" turned into every other (chance is {percent(commonest)}); the attack fails on this model, so its"
                    " figures at small epsilons mean nothing"
                )
                findings.append(found("P9", "error", message, standing / one.n, commonest))
                break
    return findings


def _by_name(series: Sequence[Series]) -> Iterator[list[Series]]:
    groups: dict[str, list[Series]] = {}
    for one in series:
        groups.setdefault(one.name, []).append(one)
    yield from groups.values()
