"""What authors of adaptations need: a base class, named modules of a model, and wrappers that keep their names.

An adaptation changes a copy of the model that an attack differentiates. Nothing here can break a sample: what the copy
leads an attack to is judged by the reference model, as every query is.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from harness.errors import BadSuite
from harness.types import AdaptationRequest

NAMED = 12
"""Modules that an error names."""


@dataclass(frozen=True)
class BaseAdaptation:
    """Defaults of the `harness.types.Adaptation` contract; subclasses set `name` and write `apply`."""

    request: AdaptationRequest

    name: ClassVar[str] = ""
    """As it is registered."""
    takes: ClassVar[str] = ""
    """What the argument is, in words; empty for an adaptation without one."""

    alters: ClassVar[bool] = True
    """See `harness.types.Adaptation`; False where every prediction stays what it was."""

    def __post_init__(self) -> None:
        if self.takes and not self.argument:
            raise BadSuite(f"adaptation {self.name!r} needs {self.takes} behind a colon")
        if not self.takes and self.argument:
            raise BadSuite(f"adaptation {self.name!r} takes no argument, not {self.argument!r:.80}")

    @property
    def argument(self) -> str:
        """What stands behind the colon."""
        return self.request.argument

    @property
    def text(self) -> str:
        """The adaptation as it is spelled."""
        return f"{self.name}:{self.argument}" if self.argument else self.name

    @property
    def weights(self) -> str | None:
        """Neither another model nor witnesses propose."""
        return None

    def apply(self, network: nn.Module) -> nn.Module:
        """What is to be differentiated; see `harness.types.Adaptation`."""
        raise NotImplementedError

    @property
    def path(self) -> str:
        """Name of the module that is changed; empty where none is. One that the model does not run is refused."""
        return ""

    def module(self, network: nn.Module) -> nn.Module:
        """The module of `network` that `path` names.

        Raises:
            BadSuite: there is none of that name; says which there are.
        """
        return named_module(network, self.path, self.text)


class Answers(nn.Module):
    """A network whose answers are changed, with the same names of modules: the base of wrappers."""

    network: nn.Module

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Logits [n,K] of `images` [n,C,H,W]."""
        logits: Tensor = self.network(images)
        return logits


def core(network: nn.Module) -> nn.Module:
    """The model inside wrappers: the one whose modules have the names that its author gave them."""
    return core(network.network) if isinstance(network, Answers) else network


def wrapped_inside(network: nn.Module, wrap: Callable[[nn.Module], Answers]) -> nn.Module:
    """The network with a wrapper around the model itself, inside those that other adaptations have put around it."""
    if not isinstance(network, Answers):
        return wrap(network)
    network.network = wrapped_inside(network.network, wrap)
    return network


def named_module(network: nn.Module, path: str, what: str) -> nn.Module:
    """The module of this name.

    Args:
        network: A model, or what adaptations made of it.
        path: As ``named_modules`` spells it, for instance ``features.0``.
        what: Who asks, for the error.

    Raises:
        BadSuite: there is none of that name; says which there are.
    """
    modules: dict[str, nn.Module] = dict(core(network).named_modules())
    if path and path in modules:
        return modules[path]
    names = [name for name in modules if name]
    near = difflib.get_close_matches(path, names, NAMED, 0.5)
    told = [*near, *(name for name in names if name not in near)][:NAMED]
    more = f" and {len(names) - len(told)} more" if len(names) > len(told) else ""
    there = f"it has {', '.join(told)}{more}" if names else "it has none inside"
    raise BadSuite(f"adaptation {what!r}: the model has no module {path!r:.80}; {there}")
