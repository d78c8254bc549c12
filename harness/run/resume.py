"""Starting a run again: what an earlier start left is taken over, and what has changed since is said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from msgspec import UNSET

from harness.errors import BadRun, TornFile
from harness.evidence.plan_info import Plan
from harness.evidence.run_info import RunInfo
from harness.evidence.store import RunStore, Unit
from harness.measure.lanes import Lane
from harness.run.session import Session
from harness.types import Finding

_ASKED_ANEW = ("not_installed", "budget")
"""Checks of findings that speak of one start only."""


@dataclass(frozen=True)
class Earlier:
    """What an earlier start of the same run means for this one."""

    patient: bool = False
    """Whether this start waits longer for a unit than the one before did."""
    other: str = ""
    """What is not as it was, in words; nothing if all is."""

    def finding(self) -> Finding:
        """For runs of which this start computed a part."""
        return Finding("hardware", "warn", f"units were computed with {self.other}; facts may differ by rounding")


def take_over(store: RunStore, session: Session) -> Earlier:
    """Put into `session` plan, choice of witnesses, provenance, times and findings of an earlier start of the same run.

    Raises:
        BadRun: the folder is another run's, or plan and run.json are both torn.
    """
    key, before = _before(store)
    if before is None:
        return Earlier()
    here = session.described
    if key != here.key:
        raise BadRun(f"{store.folder} belongs to another run; remove it, or start over with --fresh")
    if isinstance(before, Plan):
        session.described = msgspec.structs.replace(here, plan=before)
        return Earlier()
    limit = None if here.unit_timeout is UNSET else here.unit_timeout
    known = None if before.unit_timeout is UNSET else before.unit_timeout
    patient = known is not None and (limit is None or limit > known)
    bare = before.calibration is not None and before.calibration.cut is True and not store.begun
    session.described = msgspec.structs.replace(
        here,
        plan=None if bare else before.plan,  # made in haste, and nothing was computed by it
        calibration=None if bare else before.calibration,
        witnesses=before.witnesses,
        started=before.started,
        versions=before.versions,
        git=before.git,
        device=before.device,
        given=here.given or before.given,
        unit_timeout=limit if known is None or limit is None else max(limit, known),
    )
    session.seconds, session.sessions, session.thrown_away = before.seconds, before.sessions, before.thrown_away
    past = (*_ASKED_ANEW, *(("timeout",) if patient else ()), *(("copy",) if bare else ()))
    old = [finding for finding in before.findings if finding.check not in past]
    session.findings = old + [finding for finding in session.findings if finding not in old]
    return Earlier(patient, " and ".join(_differences(before, here)))


def drop_given_up(
    store: RunStore,
    lanes: Iterable[Lane],
    units: Callable[[Lane], Sequence[Unit]],
    needs: Callable[[Lane], Iterable[Lane]],
) -> None:
    """Forget units whose time was over, those after them in their lane, which inherit from them, and what needs it.

    Args:
        store: The run.
        lanes: All lanes, each after those it needs.
        units: Of a lane, in order.
        needs: Of a lane.
    """
    lost: set[Lane] = set()
    for lane in lanes:
        dropped = any(other in lost for other in needs(lane))
        for unit in units(lane):
            if not dropped and (found := store.facts_of(unit)) is not None:
                dropped = bool((np.asarray(found["reason"].to_pylist(), dtype=object) == "timeout").any())
            if dropped:
                store.discard(unit)
        if dropped:
            lost.add(lane)


def _differences(before: RunInfo, here: RunInfo) -> list[str]:
    there, now = before.versions, here.versions
    found = [
        f"{name} {there.get(name, 'not installed')} and {now.get(name, 'not installed')}"
        for name in sorted(there.keys() | now.keys())
        if there.get(name) != now.get(name)
    ]
    devices = before.device.name, here.device.name
    return found + ([f"{devices[0]} and {devices[1]}"] if devices[0] != devices[1] else [])


def _before(store: RunStore) -> tuple[str, RunInfo | Plan | None]:
    """Key and run.json of an earlier start; if that is torn, the plan alone, which every later start has to keep."""
    if not (store.folder / "run.json").exists() and not (store.folder / "plan.json").exists():
        return "", None
    try:
        info = store.read_info()
        return info.key, info
    except BadRun as error:
        torn = isinstance(error, TornFile) or not (store.folder / "run.json").exists()
        if not torn:
            raise
    store.event("torn", "warn", "run.json could not be read; times and findings of earlier starts are lost")
    try:
        return store.read_plan()
    except BadRun:
        if store.begun:
            raise BadRun(
                f"{store.folder}: run.json and plan.json are both torn, so that the rest cannot be computed like what"
                " is there; start over with --fresh"
            ) from None
        return "", None
