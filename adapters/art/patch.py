"""ART's attacks on the pixels under a mask: masked projected gradient descent, and the adversarial patch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from adapters.art.base import ArtAttack
from adapters.art.gradient import PGD
from harness.attack import scaled
from harness.errors import BadSuite
from harness.types import Problem, Threat

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn


class MaskedPGD(PGD):
    """ART's ProjectedGradientDescentPyTorch on the pixels under a mask, which may become anything in [0,1]."""

    norms = ("linf",)
    threats: ClassVar[tuple[Threat, ...]] = ("patch",)

    def __post_init__(self) -> None:
        super().__post_init__()
        _unscaled(self, "step_size")

    def plumb(self, classifier: Any, problem: Problem) -> dict[str, Any]:
        """As above; under the mask the radius is 1, whatever share the mask covers."""
        return {**super().plumb(classifier, problem), "eps": 1.0}

    def extras(
        self, classifier: Any, images: np.ndarray, labels: np.ndarray, problem: Problem
    ) -> dict[str, Any] | None:
        """The mask, one for each image."""
        import numpy as np

        assert problem.mask is not None  # threat patch alone is what it knows
        return {"mask": np.broadcast_to(problem.mask.cpu().numpy(), images.shape)}


class AdversarialPatch(ArtAttack):
    """ART's AdversarialPatchPyTorch (arXiv:1712.09665), untargeted and upright: one patch an image, or one for all.

    The tool draws its patch in the upper left corner of a canvas of the images' size; the adapter cuts out the square
    and lays it where the mask of each image is, pixel by pixel. So the patch is neither resized nor turned.
    """

    tool_class = "AdversarialPatchPyTorch"
    threats: ClassVar[tuple[Threat, ...]] = ("patch",)
    strength: ClassVar[Mapping[str, Any]] = {"steps": int, "learning_rate": float, "optimizer": str, "universal": bool}
    plumbed = ("universal",)
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"optimizer": ("Adam", "pgd")}
    fixed: ClassVar[Mapping[str, Any]] = {
        "rotation_max": 0.0,
        "scale_min": 1.0,
        "scale_max": 1.0,
        "distortion_scale_max": 0.0,
        "patch_location": None,
        "patch_type": "square",
        "targeted": False,
    }
    plumbing = ("estimator", "batch_size", "patch_shape")
    freezable = True
    caveats = (
        "the tool never clears the patch's gradient: each step follows the sum of all gradients so far",
        "universal: one patch for all samples of a chunk, so its rows are not independent, and no replay judges them",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _unscaled(self, "learning_rate")
        # One patch for all rows must meet them all; one of its own is made for each row alone.
        object.__setattr__(self, "one_by_one", not self.params["universal"])

    def freezes(self, component: str | None) -> bool:
        """Of a patch for all, rows that left would change what it is made for."""
        return not self.params["universal"]

    def refusal(self, shape: Sequence[int]) -> str | None:
        """On images that are not square the tool draws the canvas's place."""
        return None if shape[-2] == shape[-1] else f"the tool's patch needs square images, not {shape[-1]}x{shape[-2]}"

    def shield(self, model: nn.Module, problem: Problem) -> nn.Module:
        """The model behind the masks: what the tool draws is laid on the clean images."""
        from adapters.art.sticker import Sticker

        return Sticker(super().shield(model, problem), problem)

    def extras(
        self, classifier: Any, images: np.ndarray, labels: np.ndarray, problem: Problem
    ) -> dict[str, Any] | None:
        """Rows keep their order."""
        return {"shuffle": False}

    def result(self, back: Any, problem: Problem) -> Tensor:
        """The clean images under the last patch; the tool returns patch and its form."""
        import torch

        from adapters.art.sticker import paste

        patch = torch.from_numpy(back[0]).float().to(problem.images.device)
        return paste(patch.expand(problem.images.shape), problem)


def _unscaled(attack: ArtAttack, name: str) -> None:
    """Refuse a multiple of epsilon, which is no radius here.

    Raises:
        BadSuite: names attack and parameter.
    """
    value = attack.params[name]
    if scaled(value, 1.0) != scaled(value, 2.0):
        raise BadSuite(
            f"attack {attack.spec.id!r}: {name} must be a number, not {value!r}: of a patch, epsilon is the covered"
            " share, and under it pixels may move by 1"
        )
