"""The road from a problem to an ART attack and back: numpy on its side, true labels, clip values, no bars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from adapters.common import ToolAttack
from adapters.listening import listening
from harness.types import Norm, Problem

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

ORDERS: Mapping[Norm, float | int] = {"linf": float("inf"), "l2": 2}


class ArtAttack(ToolAttack):
    """One attack class of ART; `perturb` builds a fresh classifier and a fresh attack.

    ART takes predicted labels where none are given; here it always gets the true ones (or the targets).
    """

    distribution: ClassVar[str] = "adversarial-robustness-toolbox"
    renamed: ClassVar[Mapping[str, str]] = {
        "random_start": "num_random_init",
        "step_size": "eps_step",
        "steps": "max_iter",
    }
    plumbing: ClassVar[tuple[str, ...]] = ("estimator", "norm", "eps", "batch_size", "targeted")
    neutral: ClassVar[tuple[str, ...]] = ("summary_writer",)
    fixed: ClassVar[Mapping[str, Any]] = {}
    quiet: ClassVar[Mapping[str, Any]] = {"verbose": False}

    def plumb(self, classifier: Any, problem: Problem) -> dict[str, Any]:
        """Values of the `plumbing` keywords for `problem`."""
        known = {
            "estimator": classifier,
            "classifier": classifier,
            "norm": ORDERS.get(problem.norm),
            "eps": problem.epsilon,
            "eps_step": problem.epsilon,
            "batch_size": len(problem.images),  # the observer splits queries, not the tool
            "patch_shape": tuple(problem.images.shape[1:]),
            "targeted": problem.targets is not None,
        }
        return {name: known[name] for name in self.plumbing}

    def arguments(self, epsilon: float) -> dict[str, Any]:
        """Keywords of the tool's constructor at `epsilon`, without the plumbing."""
        given = super().arguments(epsilon)
        if "num_random_init" in given:
            given["num_random_init"] = int(given["num_random_init"])
        return given

    def shield(self, model: nn.Module, problem: Problem) -> nn.Module:
        """What the tool gets instead of the model."""
        from adapters.shield import Shield

        return Shield(model, problem.images.device)

    def extras(
        self, classifier: Any, images: np.ndarray, labels: np.ndarray, problem: Problem
    ) -> dict[str, Any] | None:
        """Further keywords of the tool's ``generate``; None if there is nothing to start from."""
        return {}

    def result(self, back: Any, problem: Problem) -> Tensor:
        """Images [n,C,H,W] from what the tool's ``generate`` returns."""
        import torch

        return torch.from_numpy(back).to(problem.images.device)

    def perturb(self, model: nn.Module, problem: Problem) -> Tensor | None:
        """Run the tool once; see `harness.types.Attack`."""
        self.check(problem)
        import art.attacks.evasion
        import numpy as np
        import torch

        from adapters.art.whole import make, on

        device = problem.images.device
        images = problem.images.detach().cpu().numpy().copy()
        labels = (problem.labels if problem.targets is None else problem.targets).cpu().numpy()
        one_hot = np.eye(problem.num_classes, dtype=np.float32)[labels]
        # Its numpy divides by zero here and there and goes on; that is no news.
        with on(device), torch.enable_grad(), listening("art"), np.errstate(all="ignore"):
            classifier = make(self.shield(model, problem), problem.num_classes, images.shape[1:], device, whole=True)
            keywords = {**self.plumb(classifier, problem), **self.arguments(problem.epsilon), **self.quiet}
            tool = getattr(art.attacks.evasion, self.tool_class)(**keywords)
            self.adjust(tool, problem)
            extras = self.extras(classifier, images, labels, problem)
            if extras is None:
                return problem.images
            return self.result(tool.generate(x=images, y=one_hot, **extras), problem)

    def adjust(self, tool: Any, problem: Problem) -> None:
        """Settings that the constructor does not take."""
