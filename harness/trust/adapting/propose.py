"""Adapted attacks that a run's findings suggest, in the order of their price, within a budget.

Findings say that something is wrong, rarely where. So what the model's structure allows is tried in small
(`harness.trust.adapting.trial`), and the changes whose gradients lead farthest are proposed, alone and together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import torch

from harness.errors import HarnessError
from harness.evidence.pool import Pool
from harness.evidence.run_info import RunInfo
from harness.inputs.adaptations import POOL, QUERIES, SCORES, STEPS, Find, resolve, usual
from harness.inputs.reference import ReferenceModel, usual_range
from harness.inputs.samples import Slice
from harness.measure.adapted.prepare import adapted_copy
from harness.trust.adapting.candidates import candidates
from harness.trust.adapting.trial import Score, Trial
from harness.trust.diagnosis.proposals import suggesting
from harness.trust.diagnosis.series import down, read, whole
from harness.trust.diagnosis.transfer import standing_of
from harness.types import AttackSpec, Finding

BUDGET = 1000
"""Passes, forward and backward together, for each survivor and epsilon."""
TRIED, FEWEST = 32, 4
"""Survivors of a trial, and how few are not worth one."""
DRAWS, NOISY_STEPS = 10, 50
SMOOTHED = 9
"""Passes of a query through a smoothed module: the exact one, and the noisy ones."""
MOST_QUERIES = 20000
KINDS = ("identity", "entry", "remove"), ("member",), ("smooth",), ("surrogate",)
"""Adaptations of which one of each is tried together."""


@dataclass(frozen=True)
class Plan:
    """What is proposed."""

    attacks: tuple[AttackSpec, ...] = ()
    """Adapted attacks without ids of their own, the cheapest first."""
    notes: tuple[Finding, ...] = ()
    """What was found on the way, and what the budget left out."""


@dataclass(frozen=True)
class _Offer:
    attack: AttackSpec
    price: float


def propose(
    reference: ReferenceModel,
    part: Slice,
    info: RunInfo,
    facts: pa.Table,
    findings: Sequence[Finding],
    *,
    budget: float = BUDGET,
    surrogates: Sequence[str] = (),
    find: Find | None = None,
    pool: Pool | None = None,
) -> Plan:
    """Adapted attacks for a finished run.

    Args:
        reference: The run's model, entered.
        part: Its samples.
        info: The content of its run.json.
        facts: All its facts.
        findings: Those of the run and of the diagnosis.
        budget: Passes for each survivor and epsilon; a forward alone counts a third.
        surrogates: Other models, by name, whose gradients may be tried.
        find: Loads them.
        pool: What other runs found, to be offered where a finding says that it breaks survivors.
    """
    reasons = suggesting(findings)
    if not reasons:
        return Plan()
    checks = sorted({one.check for one in reasons}, key=lambda check: int(check[1:]))
    trial = _trial(reference, part, info, facts)
    if trial is None:
        return Plan(notes=(_note(f"{', '.join(checks)}: fewer than {FEWEST} samples survive, so nothing is tried"),))
    best: list[tuple[str, ...]] = []
    if set(checks) != {"P5"}:
        best = _search(trial, surrogates, find)
    offers = [*_offers(checks, best, trial, info)]
    if pool is not None and pool.folders and "P26" in checks:
        offers.append(_of_pool(pool, info, facts))
    chosen, left, spent = [], [], 0.0
    for offer in sorted(offers, key=lambda one: one.price):
        if spent + offer.price <= budget:
            spent += offer.price
            chosen.append(offer.attack)
        else:
            left.append(f"{offer.attack.id} with {','.join(offer.attack.adapt)} ({offer.price:g})")
    words = f"{', '.join(checks)} suggest it: {len(chosen)} adapted attacks, {spent:g} passes a survivor of {budget:g}"
    return Plan(tuple(chosen), (_note(f"{words}{'; left out: ' + '; '.join(left) if left else ''}"),))


def _note(words: str) -> Finding:
    return Finding("adapt", "info", f"--adapt auto: {words}")


def _trial(reference: ReferenceModel, part: Slice, info: RunInfo, facts: pa.Table) -> Trial | None:
    """Survivors of all attacks at the largest epsilon that is no half of the range, or of a smaller one if too few."""
    series = whole(read(info.suite.attacks, facts))
    for epsilon in sorted(info.suite.grid, key=lambda one: -one.value):
        here = [one for one in series if one.epsilon <= epsilon.value]
        if not here or epsilon.value <= 0 or (info.suite.norm == "linf" and epsilon.value >= 0.5):
            continue
        stands: dict[int, bool] = {}
        for one in here:
            fallen = down(one) | (one.outcome == "clean_wrong")
            for sample, gone in zip(one.sample_ids.tolist(), fallen.tolist(), strict=True):
                stands[sample] = stands.get(sample, True) and not gone
        ids = [sample for sample in part.indices.tolist() if stands.get(sample)][:TRIED]
        if len(ids) >= FEWEST:
            images, labels = part.data.take(ids)
            images, labels = images.to(reference.device, torch.float32), labels.to(reference.device)
            return Trial(reference, images, labels, info.suite.norm, epsilon.value)
    return None


def _search(trial: Trial, surrogates: Sequence[str], find: Find | None) -> list[tuple[str, ...]]:
    """The one or two sets of adaptations whose gradients lead farthest, if farther than the model's own."""
    texts = candidates(trial.reference, trial.images[:2])
    texts += [f"smooth:@{trial.epsilon / 2:.4g}", *(f"surrogate:{name}" for name in surrogates)]
    own = _score(trial, (), find) or Score(0, 0.0)
    scored: dict[tuple[str, ...], Score] = {}
    for text in texts:
        _try(trial, (text,), find, scored)
    # Where the gradient is cut in two places, no single change has one.
    firsts, members = (
        [text for text in texts if text.startswith(kind)] for kind in (("identity", "entry"), ("member",))
    )
    if not any(score > own for score in scored.values()):
        for one in firsts:
            for other in members:
                _try(trial, (one, other), find, scored)
    ranked = sorted((pair for pair in scored.items() if _better(pair[1], own)), key=lambda p: p[1], reverse=True)
    if not ranked:
        return []
    whole_set, best = ranked[0]
    for (text, *_), _score_alone in ranked[1:]:
        if any(_kind(text) == _kind(known) for known in whole_set):
            continue
        together = (*whole_set, text)
        score = _score(trial, together, find)
        if score is not None and _better(score, best):
            whole_set, best = together, score
    others = [texts for texts, _ in ranked if not set(texts) <= set(whole_set)]
    return [whole_set, *others[:1]]


def _try(trial: Trial, texts: tuple[str, ...], find: Find | None, scored: dict[tuple[str, ...], Score]) -> None:
    if (score := _score(trial, texts, find)) is not None:
        scored[texts] = score


def _better(one: Score, other: Score) -> bool:
    return one.broken > other.broken or (one.broken == other.broken and one.gain > other.gain + 0.01)


def _kind(text: str) -> int:
    name = text.partition(":")[0]
    return next(place for place, names in enumerate(KINDS) if name in names)


def _score(trial: Trial, texts: tuple[str, ...], find: Find | None) -> Score | None:
    """What a trial through these adaptations brings; None where they do not fit the model, or give no gradient."""
    try:
        spec = AttackSpec("trial", "", "", adapt=texts)
        adapted = resolve([spec], find).get("trial", ())
        copy = adapted_copy(trial.reference, adapted, texts, trial.images[:2])
        return trial.of(copy.network)
    except HarnessError:
        return None


def _offers(checks: Sequence[str], best: Sequence[tuple[str, ...]], trial: Trial, info: RunInfo) -> Iterable[_Offer]:
    """Every attack that is worth its price, in no order."""

    def offer(*adapt: str, steps: int = STEPS, passes: int = 1) -> _Offer:
        if any(text.startswith("smooth") for text in adapt):
            steps, passes = NOISY_STEPS, SMOOTHED
        return _Offer(replace(usual(steps=steps), adapt=adapt), float(steps * passes))

    if {"P6", "P7", "P8", "P26"} & {*checks}:
        yield offer("margin")
    for texts in best:
        yield offer(*texts, "margin")
    if {"P6", "P7"} & {*checks}:
        lead = usual_range(trial.reference.logits(trial.images))
        yield offer(*(best[0] if best else ()), f"temperature:{float(f'{max(1.0, lead / 10):.2g}'):g}")
    elif best:
        yield offer(*best[0])
    if "P5" in checks:
        yield offer(f"average:{DRAWS}", "margin", steps=NOISY_STEPS, passes=DRAWS)
    if {"P7", "P8", "P21", "P26"} & {*checks}:
        asked = [int(p["queries"]) for a in info.suite.attacks for p in a.resolved.values() if _whole(p.get("queries"))]
        queries = min(max([QUERIES, *(2 * count for count in asked)]), MOST_QUERIES)
        yield _Offer(replace(usual((SCORES,), queries=queries), adapt=(SCORES,)), queries / 3)


def _of_pool(pool: Pool, info: RunInfo, facts: pa.Table) -> _Offer:
    """What other runs found: a forward for each image, of which some survivors have more than others."""
    survivors = standing_of(info, facts)[info.suite.labels[0]]
    asked = sum(pool.counts(survivors).values()) / max(1, len(survivors))
    adapt = tuple(f"{POOL}:{folder.name}" for folder in pool.folders)
    return _Offer(replace(usual(adapt), adapt=adapt), round(asked / 3, 2))


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
