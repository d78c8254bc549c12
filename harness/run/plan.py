"""How the attacked copy of a model is made, by the plan that a run keeps."""

from __future__ import annotations

from harness.evidence.run_info import Plan
from harness.measure.fast_copy.copies import CopyRecipe


def recipe_of(plan: Plan) -> CopyRecipe:
    """The recipe of the attacked copy; the exact one attacks the reference itself."""
    return CopyRecipe(plan.speedups, plan.channels_last, plan.precision, plan.compiled)
