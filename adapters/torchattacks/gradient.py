"""Single-step and iterative gradient attacks of torchattacks, in a fixed ball."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from adapters.common import TARGETED
from adapters.torchattacks.base import TorchAttack
from harness.types import Norm

LAST = "returns its last iterate, not its best; observed mode keeps every success on the way"


class FGSM(TorchAttack):
    """Fast gradient sign method (arXiv:1412.6572): one step of size epsilon, no random start."""

    tool_class = "FGSM"
    options = TARGETED
    iterative = False
    freezable = True


class FFGSM(TorchAttack):
    """FGSM from a uniform random start (arXiv:2001.03994); the paper's step is 1.25 epsilon."""

    tool_class = "FFGSM"
    strength: ClassVar[Mapping[str, Any]] = {"step_size": float}
    options = TARGETED
    iterative = False
    freezable = True


class BIM(TorchAttack):
    """Basic iterative method (arXiv:1607.02533): projected gradient descent from the clean image."""

    tool_class = "BIM"
    strength: ClassVar[Mapping[str, Any]] = {"steps": int, "step_size": float}
    options = TARGETED
    freezable = True
    caveats = (LAST,)


class RFGSM(TorchAttack):
    """Projected gradient descent that starts one random sign step away (arXiv:1705.07204)."""

    tool_class = "RFGSM"
    strength: ClassVar[Mapping[str, Any]] = {"steps": int, "step_size": float}
    options = TARGETED
    freezable = True
    caveats = (LAST,)


class PGD(TorchAttack):
    """Projected gradient descent (arXiv:1706.06083)."""

    tool_class = "PGD"
    strength: ClassVar[Mapping[str, Any]] = {"steps": int, "step_size": float, "random_start": bool}
    options = TARGETED
    freezable = True
    caveats = (LAST,)


class PGDL2(TorchAttack):
    """Projected gradient descent in the l2 ball, with normalized gradients."""

    tool_class = "PGDL2"
    norms: ClassVar[tuple[Norm, ...]] = ("l2",)
    strength: ClassVar[Mapping[str, Any]] = {"steps": int, "step_size": float, "random_start": bool}
    # The tool divides the gradient of the batch-*mean* loss by its norm plus this: with its default, 1e-10, the step of
    # a confidently classified row shrinks as the batch grows.
    fixed: ClassVar[Mapping[str, Any]] = {"eps_for_division": 1e-30}
    options = TARGETED
    freezable = True
    caveats = (LAST,)


class EOTPGD(TorchAttack):
    """Projected gradient descent on gradients averaged over `eot` forwards (arXiv:1907.00895)."""

    tool_class = "EOTPGD"
    strength: ClassVar[Mapping[str, Any]] = {"steps": int, "step_size": float, "eot": int, "random_start": bool}
    options = TARGETED
    freezable = True
    caveats = (LAST,)


class TPGD(TorchAttack):
    """Projected gradient ascent on the KL divergence from the clean prediction, as TRADES trains (arXiv:1901.08573)."""

    tool_class = "TPGD"
    strength: ClassVar[Mapping[str, Any]] = {"steps": int, "step_size": float}
    freezable = True
    caveats = (LAST, "ignores the labels: it moves away from the clean prediction, whatever that is")


class UPGD(TorchAttack):
    """Projected gradient descent with momentum and a choice of loss."""

    tool_class = "UPGD"
    strength: ClassVar[Mapping[str, Any]] = {
        "steps": int,
        "step_size": float,
        "random_start": bool,
        "loss": str,
        "decay": float,
        "eot": int,
    }
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"loss": ("ce", "dlr")}  # its margin loss has CW's fault
    freezable = True
    caveats = (LAST,)


class Jitter(TorchAttack):
    """Projected gradient descent on a scaled, noisy squared loss (arXiv:2105.10304)."""

    tool_class = "Jitter"
    strength: ClassVar[Mapping[str, Any]] = {
        "steps": int,
        "step_size": float,
        "scale": float,
        "std": float,
        "random_start": bool,
    }
    freezable = True
    caveats = (LAST,)
