"""How far a row's numbers can be trusted, in one letter.

== =====================================================================================================
A  no warning, the suite attacked with iterated gradients and, what those left, without gradients, and no finding
   suggests an adapted attack that was not tried; or it corrupts, which is no search that could have failed
B  no warning, but one of the three is missing, so masked gradients could have gone unnoticed
C  a warning, or nothing but single steps, which flatter whoever trained on them
D  a check contradicts the numbers (level ``error``), or refused the model and was overruled with --force
== =====================================================================================================

No grade while cells are missing. Findings of level ``info`` don't count, nor do those on how a run went (`HARMLESS`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.evidence.run_info import RunInfo
from harness.trust.diagnosis.proposals import open_proposals
from harness.trust.diagnosis.series import Series, down, leaves, together
from harness.types import Finding

HARMLESS = ("torn",)


def grade(info: RunInfo, series: Sequence[Series], findings: Sequence[Finding]) -> str | None:
    """The letter, or None.

    Args:
        info: The content of run.json.
        series: All series of the run.
        findings: Those of run.json and of the diagnosis.
    """
    asked = len(info.suite.attacks) * len(info.suite.labels)
    whole = [one for one in series if one.component is None]
    complete = len(whole) == asked and all(one.complete and one.n == info.samples_of(one.info) for one in whole)
    if info.status != "complete" or not complete:
        return None
    levels = {finding.level for finding in findings if finding.check not in HARMLESS}
    if levels & {"refuse", "error"}:
        return "D"
    if "warn" in levels:
        return "C"
    if info.suite.threat == "corruption":
        return "A"
    if all(not one.info.iterative for one in leaves(series)):
        return "C"
    return "A" if _thorough(series) and not open_proposals(info.suite.attacks, findings) else "B"


def _thorough(series: Sequence[Series]) -> bool:
    ran = leaves(series)
    iterated = [one for one in ran if one.by_gradient and one.info.iterative and one.fixed_ball]
    blind = any(not one.by_gradient and one.forwards.sum() > 0 for one in ran)
    return bool(iterated) and (blind or _all_broken(iterated))


def _all_broken(series: Sequence[Series]) -> bool:
    """Whether nothing stands at any epsilon: then no gradient was masked, and a cascade's last part has no work."""
    for epsilon in {one.epsilon for one in series}:
        here = together(*(one for one in series if one.epsilon == epsilon))
        fallen = np.logical_or.reduce([down(one) for one in here])
        if (~fallen & (here[0].outcome != "clean_wrong")).any():
            return False
    return True
