"""torchattacks' versions of AutoAttack's members, its cascade of them, and SPSA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from adapters.common import TARGETED
from adapters.torchattacks.base import TorchAttack
from harness.types import Norm

BOTH: tuple[Norm, ...] = ("linf", "l2")


class APGD(TorchAttack):
    """Auto-PGD with one loss (arXiv:2003.01690)."""

    tool_class = "APGD"
    norms = BOTH
    plumbing = ("norm", "eps", "seed")
    strength: ClassVar[Mapping[str, Any]] = {"steps": int, "loss": str, "eot": int, "rho": float}
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"loss": ("ce", "dlr")}
    fixed: ClassVar[Mapping[str, Any]] = {"n_restarts": 1}
    neutral = ("verbose",)
    freezable = True


class APGDT(TorchAttack):
    """Auto-PGD on the targeted DLR loss, for the `target_classes` most likely wrong classes (arXiv:2003.01690)."""

    tool_class = "APGDT"
    norms = BOTH
    plumbing = ("norm", "eps", "seed", "n_classes")
    plumbed = ("target_classes",)
    strength: ClassVar[Mapping[str, Any]] = {"steps": int, "target_classes": int, "eot": int, "rho": float}
    fixed: ClassVar[Mapping[str, Any]] = {"n_restarts": 1}
    neutral = ("verbose",)
    freezable = True
    fewest_classes = 4


class FAB(TorchAttack):
    """Fast adaptive boundary attack, untargeted (arXiv:1907.02044)."""

    tool_class = "FAB"
    kind = "minimum"
    norms = BOTH
    plumbing = ("norm", "eps", "seed", "n_restarts", "n_classes")
    strength: ClassVar[Mapping[str, Any]] = {"steps": int, "alpha_max": float, "eta": float, "beta": float}
    fixed: ClassVar[Mapping[str, Any]] = {"multi_targeted": False}
    neutral = ("verbose",)
    restarts_inside = True  # its first run starts at the clean image: called twice it would do the same twice
    caveats = (
        "one backward pass a class and step: slow with many classes",
        "restarts after the first go only to samples that are not yet broken at the largest epsilon",
    )


class FABT(TorchAttack):
    """Fast adaptive boundary attack on the `target_classes` most likely wrong classes, in a fixed ball."""

    tool_class = "FAB"
    norms = BOTH
    plumbing = ("norm", "eps", "seed", "n_restarts", "n_classes")
    plumbed = ("target_classes",)
    strength: ClassVar[Mapping[str, Any]] = {**FAB.strength, "target_classes": int}
    fixed: ClassVar[Mapping[str, Any]] = {"multi_targeted": True}
    neutral = ("verbose",)
    restarts_inside = True


class Square(TorchAttack):
    """Square attack, a random search on scores (arXiv:1912.00049)."""

    tool_class = "Square"
    squares = 0.8
    norms = BOTH
    renamed: ClassVar[Mapping[str, str]] = {**TorchAttack.renamed, "rescale_schedule": "resc_schedule"}
    plumbing = ("norm", "eps", "seed")
    strength: ClassVar[Mapping[str, Any]] = {"queries": int, "p_init": float, "loss": str, "rescale_schedule": bool}
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"loss": ("margin", "ce")}
    fixed: ClassVar[Mapping[str, Any]] = {"n_restarts": 1}
    neutral = ("verbose",)
    options = TARGETED
    freezable = True


class Cascade(TorchAttack):
    """What torchattacks calls AutoAttack: APGD-CE, APGD-T, FAB-T and Square, the first three with 10 steps, not 100."""

    tool_class = "AutoAttack"
    squares = 0.8
    norms = BOTH
    plumbing = ("norm", "eps", "seed", "n_classes")
    plumbed = ("target_classes",)
    strength: ClassVar[Mapping[str, Any]] = {"version": str, "target_classes": int}
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"version": ("standard", "plus", "rand")}
    neutral = ("verbose",)
    caveats = (
        "not AutoAttack: its gradient attacks take 10 steps, the reference's 100, and its Square rescales its schedule",
    )
    fewest_classes = 4


class SPSA(TorchAttack):
    """Gradient estimates from random sign directions, black-box (arXiv:1802.05666)."""

    tool_class = "SPSA"
    renamed: ClassVar[Mapping[str, str]] = {"learning_rate": "lr", "samples": "nb_sample", "steps": "nb_iter"}
    strength: ClassVar[Mapping[str, Any]] = {"steps": int, "samples": int, "delta": float, "learning_rate": float}
    fixed: ClassVar[Mapping[str, Any]] = {"max_batch_size": 64}  # probes in one query
    options = TARGETED
    freezable = True
    one_by_one = True
