"""How a run is computed: its plan, resolved once and kept, and the copy of the model that attacks get by it."""

from __future__ import annotations

import msgspec

from harness.base.deadline import Deadline
from harness.base.modes import MODES
from harness.base.randomness import forked
from harness.errors import BadRun
from harness.evidence.plan_info import Calibration, Plan
from harness.evidence.structs import as_json
from harness.inputs.reference import ReferenceModel
from harness.inputs.samples import Slice
from harness.inputs.suite import Suite
from harness.measure.fast_copy.calibrate import Question, calibrate, make_copy
from harness.measure.fast_copy.copies import CopyRecipe, FastCopy, Unfit
from harness.run.options import Options
from harness.run.session import Session
from harness.types import Finding

SHARE = 0.25
"""Of the time that a budget leaves, what may go into finding the fastest copy."""


def recipe_of(plan: Plan) -> CopyRecipe:
    """The recipe of the attacked copy; the exact one attacks the reference itself."""
    return CopyRecipe(plan.speedups, plan.channels_last, plan.precision, plan.compiled)


def make_plan(
    session: Session, reference: ReferenceModel, part: Slice, suite: Suite, options: Options, deadline: Deadline
) -> tuple[Plan, FastCopy | None]:
    """The run's plan, kept from an earlier start or resolved now, and the copy it attacks (None: the model itself).

    Of what is left until the `deadline`, measuring what is fastest takes a `SHARE` at most.

    Raises:
        BadRun: an earlier start attacked a copy that cannot be made here.
    """
    images, _ = part.take(0)
    info = session.described
    if (plan := info.plan) is not None:
        reference.batch_size = plan.batch_size
        try:
            return plan, make_copy(reference, recipe_of(plan), images)
        except Unfit as error:
            raise BadRun(
                f"the copy of the model that this run attacks cannot be made here ({error}); start over with --fresh"
            ) from None
    reference.batch_size = min(options.batch_size or 32, len(images))
    reference.logits(images[:2])  # refuses what is not a classifier before anything is timed
    question = Question(
        options.precision if MODES[suite.mode].copies and info.randomness is None else "exact",
        options.compile,
        options.batch_size,
        min(suite.chunk, len(part.indices)),
    )
    machine = {"model": as_json(info.model), "threads": info.threads, "device": info.device.name}
    identity = machine | {"torch": info.versions.get("torch"), "shape": list(images.shape[1:])}
    anew = options.fresh and options.budget is None  # what a budget cut short is not asked for again
    with forked(0):
        answer = calibrate(reference, images, question, identity, deadline.share(SHARE), "" if anew else info.key)
    recipe, unfit = answer.recipe, answer.unfit
    try:
        copy = make_copy(reference, recipe, images)
    except Unfit as error:  # measured on a model that shares its tensors with this one, but not its code
        recipe, copy, unfit = CopyRecipe(), None, (str(error),)
    plan = Plan(
        device=reference.device.type,
        batch_size=answer.batch_size,
        precision=recipe.precision,
        threads=info.threads,
        speedups=tuple(recipe.speedups),
        channels_last=recipe.channels_last,
        compiled=recipe.compiled,
    )
    calibration = Calibration(
        measured=dict(answer.measured), unfit=tuple(unfit), cached=answer.cached, cut=answer.cut or msgspec.UNSET
    )
    session.described = msgspec.structs.replace(info, plan=plan, calibration=calibration)
    if answer.cut:
        message = (
            f"the budget left no time to try all that might be faster: {recipe} is attacked, in batches of"
            f" {answer.batch_size}; this run keeps to it"
        )
        session.findings.append(Finding("copy", "info", message))
    if unfit and recipe.exact:
        message = f"no copy was made, the model is attacked as it is: {unfit[0]}"
        session.findings.append(Finding("copy", "info", message))
    return plan, copy
