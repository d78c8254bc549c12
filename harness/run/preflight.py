"""The doctor before a run: asked once, kept in run.json, and overruled only with ``--force``."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import torch

from harness.attack import BaseAttack
from harness.base.masks import side_of
from harness.errors import BadRun, BadSuite, TornFile
from harness.evidence.findings import found
from harness.evidence.plan_info import Preflight
from harness.evidence.pool import misfit
from harness.evidence.run_info import RunInfo
from harness.evidence.store import RunStore
from harness.inputs.adaptations import Adapted
from harness.inputs.draws import Draws
from harness.inputs.fingerprint import Fingerprint
from harness.inputs.suite import Suite
from harness.measure.adapted.pool import OfRun
from harness.run.options import Options
from harness.run.session import Session
from harness.trust.doctor import Report, examine_data, examine_model, refuse, units
from harness.types import Attack, Dataset, LoadedModel


def check_data(model: LoadedModel, data: Dataset) -> None:
    """What no option can overrule: images, labels, class count and shape.

    Raises:
        BadData: images outside [0,1], or labels that are no class.
        ModelRefused: the model does not fit the data.
    """
    refuse(examine_data(model, data), model.name)


def refuse_unfit(suite: Suite, attacks: Sequence[Attack], data: Dataset) -> None:
    """Stop before a run of which no attack can work on images of this size; where some can, they are measured.

    Raises:
        BadSuite: says why the first one cannot.
    """
    shape = tuple(data.take([0])[0].shape)
    if suite.threat == "patch":
        _check_shares(suite, shape)
    reasons = [attack.refusal(shape) if isinstance(attack, BaseAttack) else None for attack in attacks]
    if all(reasons):
        raise BadSuite(f"suite {suite.name!r}: attack {suite.attacks[0].id!r}: {reasons[0]}")


def check_pools(info: RunInfo, adapted: Adapted) -> None:
    """Refuse a pool of a run that says nothing of this one, or whose witnesses are not all there yet.

    Raises:
        BadRun: names it, and says why.
    """
    named = {one.argument: one for ones in adapted.values() for one in ones if isinstance(one, OfRun)}
    for one in named.values():
        for folder in one.pool.folders:
            other = RunStore(folder).read_info()
            if why := misfit(info, other) or ("it is not finished" if other.status != "complete" else None):
                raise BadRun(f"adaptation {one.text!r:.120} is of no use here: {why}")


def _check_shares(suite: Suite, shape: tuple[int, ...]) -> None:
    height, width = shape[-2:]
    for share in suite.grid:
        side = side_of(share.value, shape)
        if share.value and not 1 <= side <= min(height, width):
            why = "a pixel is more" if side < 1 else "no square in it covers so much"
            raise BadSuite(f"suite {suite.name!r}: {share} of an image of {width}x{height} is no patch: {why}")


def check_model(
    model: LoadedModel,
    data: Dataset,
    session: Session,
    options: Options,
    device: torch.device,
    draws: Draws | None,
    known: Report | None = None,
) -> None:
    """Examine the model and note in `session` what was found; an earlier start's answer is taken over, and `known`.

    Raises:
        ModelRefused: a check refuses and ``options.force`` is not set.
    """
    earlier = known or _earlier(session.described, options)
    if earlier is None:
        report = examine_model(model, data, device, options.batch_size, draws)
        suite = session.described.suite
        told = ((attack.id, attack.kind, attack.resolved) for attack in suite.attacks)
        report.findings.extend(units(told, suite.norm, suite.grid, suite.threat))
    else:
        report = earlier
    refuse(report, model.name, options.force)
    for finding in report.findings:
        session.note(finding)
    preflight = Preflight(n=report.n, seconds=round(report.seconds, 3), forced=bool(report.refusals))
    session.described = msgspec.structs.replace(session.described, preflight=preflight)


def check_repeats(session: Session, fingerprint: Fingerprint) -> None:
    """Note where votes will not come again: seeding the generators that everybody shares does not fix the draws."""
    if session.described.randomness is None or fingerprint.repeatable:
        return
    message = (
        "asked twice with the same seed the model answers differently: it draws from a generator of its own, so its"
        " votes do not come again and cannot be verified; let it draw from torch's, numpy's or Python's"
    )
    session.note(found("P5", "warn", message))


def _earlier(info: RunInfo, options: Options) -> Report | None:
    """What an earlier start of the same run found."""
    folder = options.results / info.run_name
    if options.fresh or not (folder / "run.json").exists():
        return None
    try:
        before = RunStore(folder).read_info()
    except TornFile:
        return None
    if before.key != info.key or before.preflight is None:
        return None
    findings = [finding for finding in before.findings if finding.level == "refuse"]
    return Report(findings, before.preflight.n, before.preflight.seconds)
