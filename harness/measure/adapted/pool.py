"""Witnesses of other runs as candidates: the adaptation that names the runs, and the attack that asks about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from harness.adaptation import BaseAdaptation
from harness.attack import BaseAttack
from harness.base.installing import OURS
from harness.base.masks import Masks
from harness.base.threat import distance, inside_ball, inside_box
from harness.errors import BadRun, BadSuite
from harness.evidence.pool import Pool
from harness.types import Norm, Problem


@dataclass(frozen=True)
class OfRun(BaseAdaptation):
    """What another run found on the same samples is offered first: the copy stays the model."""

    name = "pool"
    alters = False
    takes = "the name of a run"

    @cached_property
    def pool(self) -> Pool:
        """What the run keeps."""
        if self.request.run is None:
            raise BadSuite(f"adaptation {self.text!r:.120}: other runs are not looked for here")
        try:
            return Pool((self.request.run(self.argument),))
        except BadRun as error:
            raise BadRun(f"adaptation {self.text!r:.120}: {error}") from None

    @property
    def weights(self) -> str | None:
        """Hash of the run's witnesses."""
        return self.pool.sha256

    def apply(self, network: nn.Module) -> nn.Module:
        """The network as it is."""
        return network


def within(
    pool: Pool, samples: Sequence[int], clean: Tensor, norm: Norm, epsilon: float, masks: Masks | None = None
) -> tuple[Tensor, ...]:
    """For each sample what the pool has of it inside its ball, float32 [k,C,H,W] on the device of the clean images.

    Args:
        pool: The witnesses.
        samples: Ids, [n].
        clean: Their images, float32 [n,C,H,W].
        norm: Norm of the ball.
        epsilon: Its radius, of patches the share that they cover.
        masks: Where a patch may lie in each image; None for a ball.
    """
    found = []
    for row, sample in enumerate(samples):
        images = pool.of(sample, clean[row]).to(clean.device)
        rows = torch.full((len(images),), row, device=clean.device)
        reach = distance(images, clean[rows], norm, None if masks is None else masks[rows])
        found.append(images[inside_ball(reach, epsilon, norm) & inside_box(images)])
    return tuple(found)


@dataclass(frozen=True)
class Ask(BaseAttack):
    """Asks about each image of a pool once; a sample of which the pool has none survives unasked."""

    distribution = OURS
    norms = ("linf", "l2", "l1", "l0")
    threats = ("ball", "patch")
    freezable = True
    one_by_one = True
    pooled = True

    def perturb(self, model: nn.Module, problem: Problem) -> Tensor:
        """The first of the images [k,C,H,W] that is misread, or the clean one."""
        (candidates,) = problem.pool
        if not len(candidates):
            return problem.images
        with torch.no_grad():
            wrong = (model(candidates).argmax(1) != problem.labels).nonzero().flatten()
        return candidates[wrong[:1]] if len(wrong) else problem.images
