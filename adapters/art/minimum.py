"""ART's minimum-norm attacks: they know no epsilon, and are judged at every epsilon of the grid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from adapters.art.base import ArtAttack
from adapters.common import TARGETED
from harness.attack import scaled
from harness.errors import BadSuite


class DeepFool(ArtAttack):
    """ART's DeepFool, on the gradients of `classes` classes (arXiv:1511.04599)."""

    tool_class = "DeepFool"
    kind = "minimum"
    norms = ("l2",)
    strength: ClassVar[Mapping[str, Any]] = {"steps": int, "overshoot": float, "classes": int}
    renamed: ClassVar[Mapping[str, str]] = {"steps": "max_iter", "overshoot": "epsilon", "classes": "nb_grads"}
    plumbing = ("classifier", "batch_size")
    neutral = ()
    caveats = ("runs from the predicted class, which for the samples it is given is the true one",)


class CW(ArtAttack):
    """ART's CarliniL2Method, with its binary search for the constant (arXiv:1608.04644)."""

    tool_class = "CarliniL2Method"
    kind = "minimum"
    norms = ("l2",)
    strength: ClassVar[Mapping[str, Any]] = {
        "steps": int,
        "binary_search_steps": int,
        "learning_rate": float,
        "confidence": float,
        "initial_const": float,
        "max_halving": int,
        "max_doubling": int,
    }
    plumbing = ("classifier", "batch_size", "targeted")
    neutral = ()
    options = TARGETED


class CWLinf(ArtAttack):
    """ART's CarliniLInfMethod (arXiv:1608.04644)."""

    tool_class = "CarliniLInfMethod"
    kind = "minimum"
    norms = ("linf",)
    strength: ClassVar[Mapping[str, Any]] = {
        "steps": int,
        "learning_rate": float,
        "confidence": float,
        "decrease_factor": float,
        "initial_const": float,
        "largest_const": float,
        "const_factor": float,
    }
    plumbing = ("classifier", "batch_size", "targeted")
    neutral = ()
    one_by_one = True
    caveats = ("one image at a time: slow",)

    def __post_init__(self) -> None:
        super().__post_init__()
        where = f"attack {self.spec.id!r}"
        factor, first, last = (self.params[name] for name in ("const_factor", "initial_const", "largest_const"))
        if not scaled(factor, 1.0) > 1:
            raise BadSuite(f"{where}: const_factor must be above 1, not {factor!r}: the constant has to grow")
        if not scaled(last, 1.0) > scaled(first, 1.0):
            raise BadSuite(f"{where}: largest_const must be above initial_const, which is {first!r}, not {last!r}")
