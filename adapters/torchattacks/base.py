"""The road from a problem to a torchattacks object and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from adapters.common import ToolAttack
from adapters.square import misfit
from harness.errors import AttackFailed
from harness.types import Norm, Problem

if TYPE_CHECKING:
    from torch import Tensor, nn

NORMS: Mapping[Norm, str] = {"linf": "Linf", "l2": "L2"}


class TorchAttack(ToolAttack):
    """One class of torchattacks; `perturb` builds a fresh object and runs it on the true labels (or the targets)."""

    distribution: ClassVar[str] = "torchattacks"
    renamed: ClassVar[Mapping[str, str]] = {
        "eot": "eot_iter",
        "learning_rate": "lr",
        "queries": "n_queries",
        "step_size": "alpha",
    }
    plumbing: ClassVar[tuple[str, ...]] = ("eps",)
    squares: ClassVar[float | None] = None
    """Size of the first window where the tool runs its Square, as a share of the pixels; a parameter overrules it."""

    def plumb(self, problem: Problem) -> dict[str, Any]:
        """Values of the `plumbing` keywords for `problem`."""
        wanted = int(self.params.get("target_classes", 1))
        known: dict[str, Any] = {
            "eps": problem.epsilon,
            "max_epsilon": problem.epsilon,
            "n_classes": min(wanted, problem.num_classes - 1) + 1,  # the tool attacks one class less than this
            "n_restarts": int(self.params["restarts"]),
            "norm": NORMS.get(problem.norm),
            "seed": problem.seed,
        }
        return {name: known[name] for name in self.plumbing}

    def shield(self, model: nn.Module, problem: Problem) -> nn.Module:
        """What the tool gets instead of the model."""
        from adapters.shield import Shield

        return Shield(model, problem.images.device)

    def start(self, images: Tensor) -> Tensor:
        """What the tool gets instead of the clean images."""
        return images

    def refusal(self, shape: Sequence[int]) -> str | None:
        """The tool's Square cannot run on images of some sizes."""
        if self.squares is None:
            return None
        why = misfit(shape[-2], shape[-1], self.norm, float(self.params.get("p_init", self.squares)))
        return f"the tool's Square cannot run: {why}; use linf, or images of another size" if why else None

    def perturb(self, model: nn.Module, problem: Problem) -> Tensor | None:
        """Run the tool once; see `harness.types.Attack`."""
        self.check(problem)
        if reason := self.refusal(problem.images.shape):
            raise AttackFailed(reason)
        import torch
        import torchattacks

        make = getattr(torchattacks, self.tool_class)
        keywords = {**self.plumb(problem), **self.arguments(problem.epsilon)}
        images = self.start(problem.images)
        with torch.enable_grad():
            tool = make(self.shield(model, problem), **keywords)
            if problem.targets is None:
                return tool(images, problem.labels)  # type: ignore[no-any-return]
            tool.set_mode_targeted_by_label(quiet=True)
            return tool(images, problem.targets)  # type: ignore[no-any-return]
