"""An attack of torchattacks that changes a number of pixels, to whatever it likes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from adapters.common import TARGETED
from adapters.torchattacks.base import TorchAttack
from harness.types import Problem


class OnePixel(TorchAttack):
    """Differential evolution over place and color of as many pixels as epsilon says (arXiv:1710.08864)."""

    tool_class = "OnePixel"
    norms = ("l0",)
    renamed: ClassVar[Mapping[str, str]] = {"population": "popsize"}
    plumbing = ("pixels", "inf_batch")
    strength: ClassVar[Mapping[str, Any]] = {"steps": int, "population": int}
    options = TARGETED
    freezable = True
    one_by_one = True
    caveats = ("searches without gradients, one image at a time: of large budgets it finds little",)

    def plumb(self, problem: Problem) -> dict[str, Any]:
        """As many pixels as the radius."""
        return {"pixels": int(problem.epsilon), "inf_batch": problem.batch_size}
