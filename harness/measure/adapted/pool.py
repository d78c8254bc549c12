"""Witnesses of other runs as candidates: the adaptation that names the runs, and the attack that asks about them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from harness.adaptation import BaseAdaptation
from harness.attack import BaseAttack
from harness.base.installing import OURS
from harness.errors import BadRun, BadSuite
from harness.evidence.pool import Pool
from harness.types import Problem


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
