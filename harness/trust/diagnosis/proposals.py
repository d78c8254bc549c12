"""Which findings suggest an adapted attack, whether one was tried, and what adapted attacks broke beyond the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harness.evidence.facts import NO_GRADIENT
from harness.evidence.findings import found, percent
from harness.evidence.metrics import worst_case
from harness.evidence.run_info import RunInfo
from harness.evidence.suite_info import AttackInfo
from harness.trust.diagnosis.series import Series, down, on, whole
from harness.types import Finding, Level

_BACKWARD = ("identity", "entry", "member", "remove", "smooth", "margin", "temperature", "surrogate", "scores")
WAYS: Mapping[str, tuple[str, ...]] = {
    "P5": ("average",),
    "P6": ("margin", "temperature", "member"),
    "P7": _BACKWARD,
    "P8": _BACKWARD,
    "P21": ("smooth", "average", "scores"),
    "P26": (*_BACKWARD, "pool"),
}
"""By check, the adaptations that answer it."""
WORTHWHILE, FEWEST = 0.01, 3
"""Share of all samples, and number of samples, from which what an adaptation broke is a warning."""


def suggesting(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that suggest an adapted attack: warnings, and transferred witnesses that break anything at all."""
    return [
        one
        for one in findings
        if one.check in WAYS and (one.level in ("warn", "error", "refuse") or (one.check == "P26" and one.figure))
    ]


def open_proposals(attacks: Iterable[AttackInfo], findings: Iterable[Finding]) -> list[Finding]:
    """The findings that suggest an adaptation, of which none that would answer was tried."""
    tried = {text.partition(":")[0] for attack in attacks for text in attack.adaptations}
    return [one for one in suggesting(findings) if not tried & set(WAYS[one.check])]


def adaptations(info: RunInfo, series: Sequence[Series]) -> list[Finding]:
    """P30: for each adapted attack, how many samples it broke that stood after all attacks before it."""
    places = {attack.id: place for place, attack in enumerate(info.suite.attacks)}
    groups: dict[str, list[Series]] = {}
    for one in whole(series):
        if one.info.adapt:
            groups.setdefault(one.info.id, []).append(one)
    findings = []
    for name, mine in groups.items():
        earlier = [one for one in whole(series) if places[one.info.id] < places[name]]
        worst = max(((_beyond(one, earlier), one) for one in mine), key=lambda pair: pair[0], default=None)
        if worst is None:
            continue
        count, one = worst
        share = count / one.n if one.n else 0.0
        if count == 0:
            message = f"{name} breaks nothing that the attacks before it left"
        else:
            message = (
                f"{name} breaks {percent(share)} of the samples at {one.label} that every attack before it left: what"
                " those found is too little, quote the worst case"
            )
        level: Level = "warn" if count >= FEWEST and share >= WORTHWHILE else "info"
        findings.append(found("P30", level, message, share, WORTHWHILE))
    return findings


def instead(info: RunInfo, facts: pa.Table) -> list[Finding]:
    """P30: the attacks to which the model gave no gradient, if adapted ones answer for them in the worst case."""
    if not pc.any(pc.equal(facts["reason"], NO_GRADIENT)).as_py():
        return []
    rows = worst_case(facts, info.data.n, drawn=info.drawn, adapted=info.suite.adapted)
    names = dict.fromkeys(name for row in rows for name in row.without)
    if not names:
        return []
    words = f"the worst case is without {', '.join(names)}, for which the model has no gradient"
    return [found("P30", "info", f"{words}; adapted attacks answer in their stead")]


def _beyond(one: Series, earlier: Sequence[Series]) -> int:
    """How many samples this attack itself broke that no earlier one did, at this epsilon or a smaller one."""
    known = np.zeros(one.n, bool)
    for other in earlier:
        if other.epsilon <= one.epsilon and (here := on(other, one.sample_ids)).n == one.n:
            known |= down(here)
    own = down(one) & (one.source != "transfer")
    return int((own & ~known).sum())
