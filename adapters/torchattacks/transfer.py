"""Momentum and input-transformation attacks of torchattacks: made to transfer, weaker than PGD on the model itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from adapters.common import TARGETED
from adapters.torchattacks.base import TorchAttack
from adapters.torchattacks.gradient import LAST

MADE_TO_TRANSFER = "made to transfer to other models; on the model itself PGD is the stronger test"
THREE_CHANNELS = "its convolution is written for three channels"
_STEPS: Mapping[str, Any] = {"steps": int, "step_size": float}


class MIFGSM(TorchAttack):
    """Iterative FGSM with momentum (arXiv:1710.06081)."""

    tool_class = "MIFGSM"
    strength: ClassVar[Mapping[str, Any]] = {**_STEPS, "decay": float}
    options = TARGETED
    freezable = True
    caveats = (LAST, MADE_TO_TRANSFER)


class NIFGSM(TorchAttack):
    """Iterative FGSM with Nesterov's look-ahead (arXiv:1908.06281)."""

    tool_class = "NIFGSM"
    strength: ClassVar[Mapping[str, Any]] = {**_STEPS, "decay": float}
    options = TARGETED
    freezable = True
    caveats = (LAST, MADE_TO_TRANSFER)


class SINIFGSM(TorchAttack):
    """NIFGSM on gradients summed over copies of the image dimmed by powers of two (arXiv:1908.06281)."""

    tool_class = "SINIFGSM"
    renamed: ClassVar[Mapping[str, str]] = {**TorchAttack.renamed, "scales": "m"}
    strength: ClassVar[Mapping[str, Any]] = {**_STEPS, "decay": float, "scales": int}
    options = TARGETED
    freezable = True
    caveats = (LAST, MADE_TO_TRANSFER)


class VMIFGSM(TorchAttack):
    """MIFGSM with gradients corrected by their variance among `neighbors` (arXiv:2103.15571)."""

    tool_class = "VMIFGSM"
    renamed: ClassVar[Mapping[str, str]] = {**TorchAttack.renamed, "neighbors": "N"}
    strength: ClassVar[Mapping[str, Any]] = {**_STEPS, "decay": float, "neighbors": int, "beta": float}
    options = TARGETED
    freezable = True
    caveats = (LAST, MADE_TO_TRANSFER)


class VNIFGSM(VMIFGSM):
    """NIFGSM with gradients corrected by their variance among `neighbors` (arXiv:2103.15571)."""

    tool_class = "VNIFGSM"


class DIFGSM(TorchAttack):
    """MIFGSM on randomly resized and padded copies (arXiv:1803.06978)."""

    tool_class = "DIFGSM"
    strength: ClassVar[Mapping[str, Any]] = {
        **_STEPS,
        "decay": float,
        "resize_rate": float,
        "diversity_prob": float,
        "random_start": bool,
    }
    options = TARGETED
    freezable = True
    caveats: ClassVar[tuple[str, ...]] = (LAST, MADE_TO_TRANSFER)


class TIFGSM(DIFGSM):
    """DIFGSM with gradients smoothed by a kernel (arXiv:1904.02884)."""

    tool_class = "TIFGSM"
    renamed: ClassVar[Mapping[str, str]] = {
        **TorchAttack.renamed,
        "kernel": "kernel_name",
        "kernel_size": "len_kernel",
        "kernel_sigma": "nsig",
    }
    strength: ClassVar[Mapping[str, Any]] = {
        **DIFGSM.strength,
        "kernel": str,
        "kernel_size": int,
        "kernel_sigma": float,
    }
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"kernel": ("gaussian", "linear", "uniform")}
    caveats = (LAST, MADE_TO_TRANSFER, THREE_CHANNELS)


class PIFGSM(TorchAttack):
    """Patch-wise iterative FGSM, with a step of `amplification` epsilon / steps (arXiv:2007.06765)."""

    tool_class = "PIFGSM"
    renamed: ClassVar[Mapping[str, str]] = {"steps": "num_iter_set"}
    plumbing = ("max_epsilon",)
    neutral = ("momentum", "prob")  # the tool stores them and never reads them
    strength: ClassVar[Mapping[str, Any]] = {"steps": int, "amplification": float}
    freezable = True
    caveats = (LAST, MADE_TO_TRANSFER, THREE_CHANNELS)


class PIFGSMPP(PIFGSM):
    """PIFGSM with smoothed gradients (arXiv:2012.15503)."""

    tool_class = "PIFGSMPP"
    strength: ClassVar[Mapping[str, Any]] = {**PIFGSM.strength, "project_factor": float}
    options = TARGETED
