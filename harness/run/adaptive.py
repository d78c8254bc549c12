"""A run with adapted attacks: those that are named, those of the model's card, or those that findings suggest."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from harness.base.machine import pick_device
from harness.errors import BadRun, UsageError
from harness.evidence.findings import PREFLIGHT
from harness.evidence.pool import find_runs, pool_of
from harness.evidence.store import RunStore
from harness.inputs.adaptations import CARD, adapted_specs, auto_budget, is_auto
from harness.inputs.find import find_model
from harness.inputs.outputs import fitted
from harness.inputs.reference import ReferenceModel
from harness.inputs.registry import Registry
from harness.inputs.samples import make_slice
from harness.inputs.suite import Suite
from harness.run.job import Run
from harness.run.job import evaluate as measure
from harness.run.options import Options
from harness.run.progress import Reporter, Silent
from harness.run.session import Known
from harness.trust.adapting import BUDGET, Plan, propose
from harness.trust.diagnosis import verdict
from harness.trust.doctor import Report
from harness.types import Dataset, Finding, LoadedModel


def evaluate(
    model: LoadedModel, suite: Suite, data: Dataset, options: Options | None = None, reporter: Reporter | None = None
) -> Run:
    """As `harness.run.job.evaluate`, with the attacks that ``options.adapt`` asks for behind the suite's.

    With ``auto`` the suite runs first. If findings suggest adapted attacks, a second run has them, too: it takes over
    all units of the first, so that only the adapted attacks cost anything, and is the one that is returned.

    Raises:
        UsageError: the model's card names no adaptation, and it was asked for.
        HarnessError: as `harness.run.job.evaluate`.
    """
    options, reporter = options or Options(), reporter or Silent()
    if options.begun is None:
        options = replace(options, begun=time.monotonic())  # of both runs together
    named = [text for text in options.adapt if text != CARD and not is_auto(text)]
    if CARD in options.adapt:
        named += of_card(model)
    autos = [text for text in options.adapt if is_auto(text)]
    if autos:
        named += [text for text in of_card(model, needed=False) if text not in named]
    suite = suite.with_adapted(adapted_specs(suite.attacks, named)) if named else suite
    run = measure(model, suite, data, options, reporter)
    if not autos or run.info.status != "complete":
        return run
    plan = _plan(model, suite, data, options, run, auto_budget(autos[-1], BUDGET))
    for note in plan.notes:
        reporter.say(note.message)
    if not plan.attacks:
        return run
    known = Known(_report(run), [spec.id for spec in suite.attacks], plan.notes)
    return measure(model, suite.with_adapted(plan.attacks), data, options, reporter, known)


def of_card(model: LoadedModel, needed: bool = True) -> list[str]:
    """The adaptations of a model's card, as ``--adapt`` has them.

    Raises:
        UsageError: there are none, and they are `needed`.
    """
    tables = model.card.adaptation if model.card is not None else ()
    if needed and not tables:
        raise UsageError(f"--adapt card: the card of model {model.name!r} has no [[adaptation]]; name one with --adapt")
    return [",".join(table["adapt"]) for table in tables]


def _plan(model: LoadedModel, suite: Suite, data: Dataset, options: Options, run: Run, budget: float) -> Plan:
    """What the findings of a finished run suggest."""
    model = fitted(model, data)
    findings, _ = verdict(run.info, run.facts)
    part = make_slice(data, options.n, suite.chunk, options.ids)
    with ReferenceModel(model, pick_device(options.device), run.info.planned.batch_size) as reference:
        others = _models(options.transfer, run)
        pool = pool_of(run.info, find_runs(options.transfer))
        return propose(
            reference, part, run.info, run.facts, findings, budget=budget, surrogates=others, find=find_model, pool=pool
        )


def _models(places: Sequence[Path], run: Run) -> list[str]:
    """The installed models of the runs whose witnesses are offered: what their gradients lead to may be tried, too."""
    names: dict[str, None] = {}
    for folder in find_runs(places):
        with suppress(BadRun):
            names[RunStore(folder).read_info().model.name] = None
    return [name for name in names if name in Registry("models") and name != run.info.model.name]


def _report(run: Run) -> Report:
    """What the doctor said before the first run."""
    before = run.info.preflight
    findings: list[Finding] = [one for one in run.info.findings if one.check in (*PREFLIGHT, "P14")]
    return Report(findings, before.n if before else 0, before.seconds if before else 0.0)
