"""The diagnosis: what a run's own facts say against its numbers. A pure fold over run.json and facts; it runs nothing.

Indicators after Pintor et al. 2022 (arXiv:2106.09947), checklist after Carlini et al. 2019 (arXiv:1902.06705).
"""

from __future__ import annotations

import pyarrow as pa

from harness.evidence.run_info import RunInfo
from harness.trust.diagnosis import between_attacks, proposals, within_attack
from harness.trust.diagnosis.claim import claim
from harness.trust.diagnosis.grade import grade
from harness.trust.diagnosis.names import names
from harness.trust.diagnosis.series import Series, read
from harness.types import Finding

__all__ = ["Series", "diagnose", "verdict"]


def diagnose(info: RunInfo, facts: pa.Table) -> list[Finding]:
    """What the facts of a run say against its numbers; empty for a sound one.

    Args:
        info: The content of run.json.
        facts: All facts of the run.
    """
    return _findings(info, read(info.suite.attacks, facts), facts)


def verdict(info: RunInfo, facts: pa.Table) -> tuple[list[Finding], str | None]:
    """All findings of a run (run.json's and the diagnosis'), and its grade."""
    series = read(info.suite.attacks, facts)
    findings = [*info.findings, *_findings(info, series, facts)]
    return findings, grade(info, series, findings)


def _findings(info: RunInfo, series: list[Series], facts: pa.Table) -> list[Finding]:
    if info.suite.threat == "corruption":  # nothing searches, so no search can have failed
        return [*names(info), *claim(info, facts)]
    # Of a randomized model a longer attack breaks more by its further draws alone, which says nothing of its strength.
    # What adapted attacks find has a check of its own: beside them the others' order and gradients would look wrong.
    every, series = series, [one for one in series if not one.info.adapt]
    randomized = any((finding.check, finding.level) == ("P5", "warn") for finding in info.findings)
    return [
        *names(info),
        *claim(info, facts),
        *between_attacks.order(series),
        *between_attacks.black_box(series, randomized),
        *within_attack.unbounded(series, info.suite.ruler),
        *within_attack.dead_gradients(series),
        *between_attacks.single_step(series),
        *([] if randomized else between_attacks.loss_gap(series)),
        *([] if randomized else within_attack.steps(series)),
        *([] if randomized else within_attack.restarts(series)),
        *within_attack.silent_success(series, info.mode),
        *between_attacks.tools(series),
        *proposals.adaptations(info, every),
        *proposals.instead(info, facts),
    ]
