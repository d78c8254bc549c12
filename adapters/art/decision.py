"""ART's attacks that see only decisions: one image at a time, many probes of it in one query."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from adapters.art.base import ArtAttack
from harness.attack import ToolWarning
from harness.types import Norm, Problem

if TYPE_CHECKING:
    import numpy as np

UNSEEDED = "starts from an image drawn by the adapter: the tool draws it from a generator that no seed reaches"


class _Decision(ArtAttack):
    kind = "decision"
    one_by_one = True
    neutral = ()

    def extras(
        self, classifier: Any, images: np.ndarray, labels: np.ndarray, problem: Problem
    ) -> dict[str, Any] | None:
        """A misclassified start for each image, uniform in the box; None if `init_size` draws do not find them all."""
        import numpy as np

        starts = images.copy()
        missing = np.ones(len(images), dtype=bool)
        for _ in range(int(self.params["init_size"])):
            draws = np.random.uniform(0, 1, size=images.shape).astype(images.dtype)
            found = missing & (classifier.predict(draws).argmax(1) != labels)
            starts[found] = draws[found]
            missing &= ~found
            if not missing.any():
                return {"x_adv_init": starts}
        warnings.warn(ToolWarning("no misclassified image to start from was drawn: raise init_size"), stacklevel=2)
        return None


class HopSkipJump(_Decision):
    """HopSkipJump: boundary search with estimated gradients (arXiv:1904.02144)."""

    tool_class = "HopSkipJump"
    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")
    strength: ClassVar[Mapping[str, Any]] = {"steps": int, "max_eval": int, "init_eval": int, "init_size": int}
    plumbing = ("classifier", "norm", "batch_size", "targeted")
    caveats = (UNSEEDED,)


class Boundary(_Decision):
    """Boundary attack: a random walk along the boundary (arXiv:1712.04248)."""

    tool_class = "BoundaryAttack"
    norms: ClassVar[tuple[Norm, ...]] = ("l2",)
    strength: ClassVar[Mapping[str, Any]] = {
        "steps": int,
        "trials": int,
        "samples": int,
        "spherical_step": float,
        "source_step": float,
        "step_adapt": float,
        "init_size": int,
    }
    renamed: ClassVar[Mapping[str, str]] = {
        "steps": "max_iter",
        "trials": "num_trial",
        "samples": "sample_size",
        "spherical_step": "delta",
        "source_step": "epsilon",
    }
    fixed: ClassVar[Mapping[str, Any]] = {"min_epsilon": 0.0}
    plumbing = ("estimator", "batch_size", "targeted")
    caveats = (UNSEEDED,)
