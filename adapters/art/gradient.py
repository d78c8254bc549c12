"""ART's attacks in a fixed ball: single-step, iterative, random search, and its cascade of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from adapters.art.base import ArtAttack
from adapters.common import TARGETED
from harness.types import Norm, Problem

BOTH: tuple[Norm, ...] = ("linf", "l2")
LAST = "returns its last iterate, not its best; observed mode keeps every success on the way"


class FGSM(ArtAttack):
    """ART's FastGradientMethod: one step of size epsilon (arXiv:1412.6572), if asked from a random start."""

    tool_class = "FastGradientMethod"
    norms = BOTH
    strength: ClassVar[Mapping[str, Any]] = {"random_start": bool}
    fixed: ClassVar[Mapping[str, Any]] = {"minimal": False}
    plumbing = (*ArtAttack.plumbing, "eps_step")  # read by the minimal variant only
    quiet: ClassVar[Mapping[str, Any]] = {}
    options = TARGETED
    iterative = False
    freezable = True
    caveats = ("restarts are the harness's: the tool's keep one batch instead of the worst case of each sample",)


class PGD(ArtAttack):
    """ART's ProjectedGradientDescentPyTorch (arXiv:1706.06083)."""

    tool_class = "ProjectedGradientDescentPyTorch"
    norms = BOTH
    strength: ClassVar[Mapping[str, Any]] = {"steps": int, "step_size": float, "random_start": bool}
    fixed: ClassVar[Mapping[str, Any]] = {"decay": None, "random_eps": False}
    options = TARGETED
    freezable = True
    caveats = (LAST,)


class MIFGSM(ArtAttack):
    """ART's MomentumIterativeMethod: iterative FGSM with momentum (arXiv:1710.06081)."""

    tool_class = "MomentumIterativeMethod"
    norms = BOTH
    strength: ClassVar[Mapping[str, Any]] = {"steps": int, "step_size": float, "decay": float}
    neutral = ()
    options = TARGETED
    freezable = True
    caveats = (LAST,)


class APGD(ArtAttack):
    """ART's AutoProjectedGradientDescent (arXiv:2003.01690); the reference starts with steps of 2 epsilon."""

    tool_class = "AutoProjectedGradientDescent"
    norms = BOTH
    strength: ClassVar[Mapping[str, Any]] = {"steps": int, "step_size": float, "loss": str}
    renamed: ClassVar[Mapping[str, str]] = {**ArtAttack.renamed, "loss": "loss_type"}
    fixed: ClassVar[Mapping[str, Any]] = {"nb_random_init": 1}
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"loss": ("ce", "dlr")}
    neutral = ()
    freezable = True
    caveats = ("the tool tests its last iterate only; observed mode keeps every success on the way",)

    def arguments(self, epsilon: float) -> dict[str, Any]:
        """As above; without a `loss_type` ART uses the classifier's loss, which is cross-entropy."""
        given = super().arguments(epsilon)
        given["loss_type"] = "difference_logits_ratio" if given["loss_type"] == "dlr" else None
        return given


class Square(ArtAttack):
    """ART's SquareAttack, a random search on scores (arXiv:1912.00049)."""

    tool_class = "SquareAttack"  # in l2 it divides where it means to multiply, and returns NaN: left out
    strength: ClassVar[Mapping[str, Any]] = {"steps": int, "p_init": float}
    fixed: ClassVar[Mapping[str, Any]] = {"nb_restarts": 1, "adv_criterion": None, "loss": None}
    plumbing = ("estimator", "norm", "eps", "batch_size")
    neutral = ()
    freezable = True
    caveats = ("one step queries the model three times, so `steps` is not a number of queries",)


class Cascade(ArtAttack):
    """What ART calls AutoAttack: APGD on cross-entropy and on DLR, DeepFool, and Square, each untargeted."""

    tool_class = "AutoAttack"
    norms = BOTH
    strength: ClassVar[Mapping[str, Any]] = {"step_size": float}
    fixed: ClassVar[Mapping[str, Any]] = {
        "attacks": None,
        "estimator_orig": None,
        "targeted": False,
        "parallel_pool_size": 0,
    }
    plumbing = ("estimator", "norm", "eps", "batch_size")
    quiet: ClassVar[Mapping[str, Any]] = {}
    neutral = ()
    fewest_classes = 3
    caveats = (
        "not AutoAttack: it has DeepFool where the reference has FAB, and no targeted attack",
        "in l2 its Square returns NaN and finds nothing",
    )

    def adjust(self, tool: Any, problem: Problem) -> None:
        """Its members come with their bars on, and one with its own batch size."""
        for member in tool.attacks:
            member.set_params(verbose=False, batch_size=len(problem.images))
