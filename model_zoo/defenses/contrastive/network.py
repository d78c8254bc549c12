"""The network of contrastive pre-training: a projection head, and batch norms of their own for each kind of input."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from harness.errors import UsageError
from model_zoo.loading.architectures import last_linear, replace_module

CLEAN, ADVERSARIAL = "clean", "adversarial"
"""The branches: which batch norms an input goes through. All other weights are shared."""


class DualBatchNorm(nn.Module):
    """Two batch norms in the place of one, with statistics, scales and shifts of their own.

    Clean and adversarial inputs differ in distribution, so that one set of statistics would fit neither (Xie et al.,
    "Adversarial Examples Improve Image Recognition", 2020); Jiang et al. 2020 train A2S this way.
    """

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.clean = norm
        self.adversarial = copy.deepcopy(norm)
        self.branch = CLEAN

    def forward(self, input: Tensor) -> Tensor:
        """Normalize `input` by the branch that is switched on; the other one sees nothing of it."""
        normalized: Tensor = (self.clean if self.branch == CLEAN else self.adversarial)(input)
        return normalized


class Encoder(nn.Module):
    """A copy of a classifier whose last linear layer is replaced by a projection head.

    The head is SimCLR's: two linear layers with a ReLU between. With two branches every batch norm becomes a
    `DualBatchNorm`; both sides start as the classifier's own.

    Args:
        model: the classifier, itself left as it is.
        branches: `CLEAN`, `ADVERSARIAL` or both.
        width: size of the embeddings.

    Raises:
        UsageError: the classifier has no linear layer.
    """

    def __init__(self, model: nn.Module, branches: Sequence[str], width: int) -> None:
        super().__init__()
        self.model = copy.deepcopy(model)
        head = last_linear(self.model)
        if head is None:
            raise UsageError("contrastive pre-training replaces the last linear layer, and this architecture has none")
        self._head = head
        linear = self.model.get_submodule(head)
        features, weight = int(linear.in_features), linear.weight  # type: ignore[arg-type]
        projection = nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, width))
        replace_module(self.model, head, projection.to(weight.device))  # type: ignore[arg-type]
        if len(branches) > 1:
            paths = [path for path, module in self.model.named_modules() if isinstance(module, _BatchNorm)]
            for path in paths:
                replace_module(self.model, path, DualBatchNorm(self.model.get_submodule(path)))
        self._duals = [module for module in self.model.modules() if isinstance(module, DualBatchNorm)]

    def forward(self, images: Tensor, branch: str) -> Tensor:
        """Embeddings [n, width] of images [n,C,H,W] in [0,1], through the batch norms of `branch`."""
        for norm in self._duals:
            norm.branch = branch
        embeddings: Tensor = self.model(images)
        return embeddings

    def extract(self, branch: str) -> nn.Module:
        """A copy without the head, and with the batch norms of `branch` alone: keys are again the classifier's."""
        plain = copy.deepcopy(self.model)
        replace_module(plain, self._head, nn.Identity())
        for path, module in list(plain.named_modules()):
            if isinstance(module, DualBatchNorm):
                replace_module(plain, path, module.clean if branch == CLEAN else module.adversarial)
        return plain
