"""Another model in the copy's place: what breaks it is tried on the model that is measured."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property

from torch import nn

from harness.adaptation import BaseAdaptation
from harness.errors import BadSuite
from harness.inputs.identity import weights_of
from harness.types import LoadedModel


@dataclass(frozen=True)
class Surrogate(BaseAdaptation):
    """Attack another checkpoint, and judge here."""

    name = "surrogate"
    takes = "another model, as --model has it,"

    @cached_property
    def _model(self) -> LoadedModel:
        if self.request.find is None:
            raise BadSuite(f"adaptation {self.text!r:.120}: other models are not loaded here")
        return self.request.find(self.argument)

    @property
    def weights(self) -> str | None:
        """Hash of the other model's weights."""
        return weights_of(self._model)

    def apply(self, network: nn.Module) -> nn.Module:
        """The other model, in the copy's place."""
        return copy.deepcopy(self._model.module).eval().requires_grad_(False)
