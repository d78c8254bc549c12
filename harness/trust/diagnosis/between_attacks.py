"""Checks that set attacks side by side: order of strength, black box against white box, tool against tool.

Compared are un-inherited figures: samples that both attacks really attacked at that epsilon, because otherwise the
witnesses an iterative attack brings along from smaller epsilons would speak for it twice; and of attacks that ran on
different numbers of samples, those that both were given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from harness.base.statistics import mcnemar_one_sided
from harness.evidence.findings import found, percent
from harness.trust.diagnosis.series import Series, comparable, leaves, on, together, whole
from harness.types import Finding

SIGNIFICANT = 0.01
GAP, WIDE_GAP = 0.01, 0.05
"""Shares of all samples from which a contradiction is reported, and from which it is an error."""
LOSS_GAP, WIDE_LOSS_GAP = 0.05, 0.15
NEAR_CLEAN, FALLEN = 0.8, 0.5
RISE = 0.05


def order(series: Sequence[Series]) -> list[Finding]:
    """P8: a stronger attack must not leave samples standing that a weaker one breaks (FGSM >= PGD >= AutoAttack)."""
    findings = []
    for weak, strong in _by_pair(whole(series)):
        if weak[0].rank is None or strong[0].rank is None or weak[0].rank >= strong[0].rank:
            continue
        gap, label = _worst([_lead(a, b) for a, b in _same_epsilon(weak, strong)])
        if gap >= GAP:
            message = (
                f"{weak[0].name} breaks {percent(gap)} of the samples more than the stronger {strong[0].name} at"
                f" {label}; the gradients mislead the iterations: add score-based attacks, and don't believe"
                f" {strong[0].name}"
            )
            findings.append(found("P8", "error" if gap >= WIDE_GAP else "warn", message, gap, GAP))
    return findings


def black_box(series: Sequence[Series], randomized: bool = False) -> list[Finding]:
    """P8: attacks without gradients must not break what iterated gradient attacks could not.

    Args:
        series: All series of a run.
        randomized: Whether the model is; then more draws explain it as well as masked gradients do.
    """
    ran = leaves(series)
    blind = [one for one in ran if not one.by_gradient and one.untargeted and one.forwards.sum() > 0]
    seeing = [one for one in ran if one.by_gradient and one.untargeted and _iterated(one)]
    worst: dict[str, tuple[float, str, int]] = {}
    for blind_one in blind:
        rivals = [other for other in seeing if other.epsilon == blind_one.epsilon]
        if not rivals:
            continue
        one, *rivals = together(blind_one, *rivals)
        if not one.n:
            continue
        stood = np.logical_and.reduce([np.isin(other.outcome, ("survived", "not_run")) for other in rivals])
        stood &= np.logical_or.reduce([other.survived for other in rivals])
        stood &= ~_broken_before(one, seeing, series)
        alone = int((one.broke & stood).sum())
        if alone / one.n > worst.get(one.name, (0.0, "", 0))[0]:
            worst[one.name] = (alone / one.n, one.label, alone)
    findings = []
    for name, (gap, label, count) in worst.items():
        if gap < GAP or count < 3:
            continue
        reason = (
            "the model is randomized, so the cause may be its many draws alone, or gradients that are masked: the"
            " figures hang on how long an attack is; --draws 100 measures the majority of so many draws"
            if randomized
            else "gradients are masked, so the true robust accuracy is lower still: attack with more queries, or adapt"
            " the loss to the defense"
        )
        message = (
            f"{name}, which sees no gradient, breaks {percent(gap)} of the samples at {label} that no gradient attack"
            f" broke; {reason}"
        )
        findings.append(found("P8", "error" if gap >= WIDE_GAP else "warn", message, gap, GAP))
    return findings


def _broken_before(one: Series, seeing: Sequence[Series], series: Sequence[Series]) -> NDArray[np.bool_]:
    """Samples that gradient attacks broke at a smaller epsilon, so that some of them were not run on these again."""
    names = {other.info.id for other in seeing}
    found = np.zeros(one.n, bool)
    for other in seeing:
        if other.epsilon < one.epsilon and (here := on(other, one.sample_ids)).n == one.n:
            found |= here.broke
    for other in whole(series):
        if other.info.id in names and other.epsilon == one.epsilon:
            here = on(other, one.sample_ids)
            if here.n == one.n:
                found |= here.outcome == "inherited"
    return found


def _iterated(one: Series) -> bool:
    if one.component is not None:
        return one.component.startswith(("apgd", "fab"))
    return one.rank in (1, 2)


def loss_gap(series: Sequence[Series]) -> list[Finding]:
    """P16: how much lower the cascade is than plain gradient descent: only its figure is worth quoting then."""
    findings = []
    for weak, strong in _by_pair(whole(series)):
        if (weak[0].rank, strong[0].rank) != (1, 2):
            continue
        gap, label = _worst([(a.accuracy - b.accuracy, a.label) for a, b in _same_epsilon(weak, strong)])
        if gap >= LOSS_GAP:
            message = (
                f"{strong[0].name} is {percent(gap)} below {weak[0].name} at {label}; the model resists that attack's"
                f" loss rather than perturbations: quote {strong[0].name} only"
            )
            findings.append(found("P16", "warn" if gap >= WIDE_LOSS_GAP else "info", message, gap, LOSS_GAP))
    return findings


def single_step(series: Sequence[Series]) -> list[Finding]:
    """P16: catastrophic overfitting: nearly all survives one step, little survives several; or a larger step does less.

    Wong, Rice and Kolter 2020 (arXiv:2001.03994) describe it for models trained on single steps.
    """
    attacks = whole(series)
    findings = []
    for one_step, many in _by_pair(attacks):
        if (one_step[0].rank, many[0].rank) not in ((0, 1), (0, 2)):
            continue
        pairs = [(a, b) for a, b in _same_epsilon(one_step, many) if _split(a, b)]
        gap, label = _worst([(a.accuracy - b.accuracy, a.label) for a, b in pairs])
        if gap > 0:
            message = (
                f"{one_step[0].name} leaves nearly all samples standing at {label}, {many[0].name} {percent(gap)}"
                " fewer: the model fits the single step it was trained on; its single-step figures mean nothing"
            )
            findings.append(found("P16", "warn", message, gap, 0.0))
    iterated = any(one.rank in (1, 2) for one in attacks)
    for one_step in _groups(attacks):
        if one_step[0].rank != 0 or findings:
            continue
        rise, label = _worst([_rise(a, b) for a, b in pairwise(one_step) if comparable(a, b)])
        if rise >= RISE:
            message = (
                f"{one_step[0].name} leaves {percent(rise)} more samples standing at {label} than at the epsilon"
                " before; a larger ball holds the smaller one, so the step overshoots or the gradient is masked: trust"
                " iterated attacks only"
            )
            findings.append(found("P16", "info" if iterated else "warn", message, rise, RISE))
    return findings


def _split(one_step: Series, many: Series) -> bool:
    stands = one_step.accuracy >= NEAR_CLEAN * one_step.clean_accuracy
    return stands and many.accuracy <= FALLEN * one_step.accuracy and one_step.survived.sum() >= 10


def _rise(small: Series, large: Series) -> tuple[float, str]:
    back, gone = int((small.broke & large.survived).sum()), int((small.survived & large.broke).sum())
    gain = (back - gone) / small.n
    return (gain, large.label) if mcnemar_one_sided(back, gone) < SIGNIFICANT else (0.0, "")


def tools(series: Sequence[Series]) -> list[Finding]:
    """P25: the same method with the same parameters must not be weaker in one tool than in another."""
    findings = []
    for one, other in _by_pair(whole(series)):
        if one[0].info.tool == other[0].info.tool or one[0].method != other[0].method:
            continue
        pairs = [(a, b) for a, b in _same_epsilon(one, other) if _same_parameters(a, b)]
        leads = [(*_lead(a, b), a, b) for a, b in pairs] + [(*_lead(b, a), b, a) for a, b in pairs]
        if not leads:
            continue
        gap, label, better, worse = max(leads, key=lambda lead: lead[0])
        if gap >= GAP:
            message = (
                f"{better.name} ({better.info.tool}) breaks {percent(gap)} of the samples more than {worse.name}"
                f" ({worse.info.tool}) at {label}, with the same parameters; one of them or its adapter is at fault"
            )
            findings.append(found("P25", "warn", message, gap, GAP))
    return findings


def _same_parameters(one: Series, other: Series) -> bool:
    ours, theirs = (s.info.resolved.get(s.label, {}) for s in (one, other))
    return all(ours[name] == theirs[name] for name in set(ours) & set(theirs))


def _lead(one: Series, other: Series) -> tuple[float, str]:
    """By which share of the samples `one` breaks more than `other`, if that is significant (exact McNemar test)."""
    both = one.attacked & other.attacked
    mine, theirs = int((both & one.broke & ~other.broke).sum()), int((both & other.broke & ~one.broke).sum())
    if mcnemar_one_sided(mine, theirs) >= SIGNIFICANT:
        return 0.0, ""
    return (mine - theirs) / one.n, one.label


def _groups(series: Sequence[Series]) -> list[list[Series]]:
    """Series by attack, ascending in epsilon."""
    groups: dict[str, list[Series]] = {}
    for one in series:
        groups.setdefault(str(one.info.id), []).append(one)
    return list(groups.values())


def _by_pair(series: Sequence[Series]) -> Iterator[tuple[list[Series], list[Series]]]:
    """Every pair of attacks, the weaker first where both have a rank."""
    for one, other in combinations(_groups(series), 2):
        swap = one[0].rank is not None and other[0].rank is not None and one[0].rank > other[0].rank
        yield (other, one) if swap else (one, other)


def _same_epsilon(one: Sequence[Series], other: Sequence[Series]) -> list[tuple[Series, Series]]:
    there = {series.epsilon: series for series in other}
    pairs = [together(series, there[series.epsilon]) for series in one if series.epsilon in there]
    return [(a, b) for a, b in pairs if a.n and comparable(a, b)]


def _worst(gaps: Sequence[tuple[float, str]]) -> tuple[float, str]:
    return max(gaps, default=(0.0, ""))
