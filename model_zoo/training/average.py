"""Averaged weights: an exponential moving average of all that a training passes through (Polyak averaging)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """The moving average of a model's floating-point tensors, batch norm's running statistics among them.

    After step t (from 0) the average moves by 1 - min(decay, (1 + t) / (10 + t)) of the way to the weights: early on it
    forgets the start sooner than `decay` alone would. Counters are no part of it.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._model = model
        self._decay = decay
        self.tensors = {name: tensor.detach().clone() for name, tensor in self._own().items()}
        """By the names of the model's state dict."""

    def _own(self) -> dict[str, Tensor]:
        return {name: tensor for name, tensor in self._model.state_dict().items() if tensor.is_floating_point()}

    def update(self, step: int) -> None:
        """Take in the weights as they are after `step`."""
        weight = 1 - min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.tensors.values()), list(self._own().values()), weight)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from the average of a checkpoint."""
        for name, tensor in self.tensors.items():
            tensor.copy_(tensors[name])

    def keep(self) -> None:
        """Give the model the averaged weights for good."""
        self._put(self.tensors)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within the block the model has the averaged weights."""
        before = {name: tensor.clone() for name, tensor in self._own().items()}
        self.keep()
        try:
            yield
        finally:
            self._put(before)

    def _put(self, tensors: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, tensor in self._own().items():
                tensor.copy_(tensors[name])
