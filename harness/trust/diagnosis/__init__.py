"""The diagnosis: what a run's own facts say against its numbers. A pure fold over run.json and facts; it runs nothing.

Indicators after Pintor et al. 2022 (arXiv:2106.09947), checklist after Carlini et al. 2019 (arXiv:1902.06705).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from harness.trust.diagnosis import between_attacks, within_attack
from harness.trust.diagnosis.claim import claim
from harness.trust.diagnosis.grade import grade
from harness.trust.diagnosis.series import Series, read
from harness.types import Finding

__all__ = ["Series", "diagnose", "verdict"]


def diagnose(run: Mapping[str, Any], facts: pa.Table) -> list[Finding]:
    """What the facts of a run say against its numbers; empty for a sound one.

    Args:
        run: The content of run.json.
        facts: All facts of the run.
    """
    return _findings(run, read(run["suite"]["attacks"], facts), facts)


def verdict(run: Mapping[str, Any], facts: pa.Table) -> tuple[list[dict[str, Any]], str | None]:
    """All findings of a run (run.json's and the diagnosis') as JSON, and its grade."""
    series = read(run["suite"]["attacks"], facts)
    findings = [*run["findings"], *(finding.as_dict() for finding in _findings(run, series, facts))]
    return findings, grade(run, series, findings)


def _findings(run: Mapping[str, Any], series: list[Series], facts: pa.Table) -> list[Finding]:
    return [
        *claim(run, facts),
        *between_attacks.order(series),
        *between_attacks.black_box(series),
        *within_attack.unbounded(series, run["suite"]["norm"]),
        *within_attack.dead_gradients(series),
        *between_attacks.single_step(series),
        *between_attacks.loss_gap(series),
        *within_attack.steps(series),
        *within_attack.restarts(series),
        *within_attack.silent_success(series, run["mode"]),
        *between_attacks.tools(series),
    ]
