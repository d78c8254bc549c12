"""Adaptations of a named module: what flows back through it, or whether it is there at all.

Replacing the backward pass of a step without a useful gradient is BPDA (Athalye, Carlini and Wagner 2018,
arXiv:1802.00420); with the identity it is the straight-through estimator. All but `Remove` and `Member` leave the
copy's forward pass as it is, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.adaptation import Answers, BaseAdaptation, core, wrapped_inside
from harness.errors import BadSuite

DRAWS = 8
"""Noisy passes through a smoothed module for each query."""


class OfModule(BaseAdaptation):
    """An adaptation whose argument names a module."""

    @property
    def path(self) -> str:
        """The argument, up to an ``@``."""
        return self.argument.rpartition("@")[0] if "@" in self.argument else self.argument


@dataclass(frozen=True)
class Identity(OfModule):
    """The module's gradient is that of the identity; what it computes stays."""

    name = "identity"
    alters = False
    takes = "the name of a module"

    def apply(self, network: nn.Module) -> nn.Module:
        """Hangs a hook on the module."""

        def straight(_module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Tensor:
            images = _first(inputs, self.text)
            if not isinstance(output, Tensor) or output.shape != images.shape:
                raise BadSuite(
                    f"adaptation {self.text!r}: the module makes {_shape(output)} of {_shape(images)}, and a gradient"
                    " can pass straight through only where the shape stays; name another module, or use entry or remove"
                )
            return through(output, images)

        self.module(network).register_forward_hook(straight)
        return network


@dataclass(frozen=True)
class Entry(OfModule):
    """The gradient at the module's input goes straight to the images: whatever lies before it is passed over."""

    name = "entry"
    alters = False
    takes = "the name of a module"

    def apply(self, network: nn.Module) -> nn.Module:
        """Hangs a hook on the module, and one on the model, which sees the images."""
        module, model = self.module(network), core(network)
        seen: list[Tensor] = []

        def note(_model: nn.Module, inputs: tuple[Any, ...]) -> None:
            seen[:] = [_first(inputs, self.text)]

        def enter(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
            here, (images,) = _first(inputs, self.text), seen
            if here.shape != images.shape:
                raise BadSuite(
                    f"adaptation {self.text!r}: the module takes {_shape(here)}, the images are {_shape(images)}; name"
                    " one that takes images"
                )
            return through(here, images), *inputs[1:]

        def forget(_model: nn.Module, _inputs: tuple[Any, ...], _output: Any) -> None:
            seen.clear()

        model.register_forward_pre_hook(note, prepend=True)
        module.register_forward_pre_hook(enter)
        model.register_forward_hook(forget, always_call=True)
        return network


@dataclass(frozen=True)
class Smooth(OfModule):
    """The module's gradient is the mean over noisy inputs; what it computes stays. ``MODULE@SIGMA``."""

    name = "smooth"
    alters = False
    takes = "the name of a module and the noise's deviation, MODULE@SIGMA,"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self.argument.rpartition("@")[2], self.text, "a deviation above 0 behind @, for instance conv1@0.05")

    def apply(self, network: nn.Module) -> nn.Module:
        """Hangs a hook on the module."""
        sigma = float(self.argument.rpartition("@")[2])

        def smoothed(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
            images = _first(inputs, self.text)
            if not isinstance(output, Tensor) or not (torch.is_grad_enabled() and images.requires_grad):
                return output
            noisy = [images + sigma * torch.randn_like(images) for _ in range(DRAWS)]
            mean: Tensor = sum(module.forward(one, *inputs[1:]) for one in noisy) / DRAWS  # not by the hook again
            return through(output, mean)

        named = self.module(network) if self.path else core(network)
        named.register_forward_hook(smoothed)
        return network


class _Passing(nn.Module):
    def forward(self, images: Tensor, *_args: Any, **_options: Any) -> Tensor:
        return images


@dataclass(frozen=True)
class Remove(OfModule):
    """The copy does without the module: it hands on what it is given."""

    name = "remove"
    takes = "the name of a module"

    def apply(self, network: nn.Module) -> nn.Module:
        """Puts something that does nothing in the module's place."""
        self.module(network)
        parent, _, child = self.path.rpartition(".")
        setattr(core(network).get_submodule(parent), child, _Passing())
        return network


class _Reached(BaseException):
    """The member has answered. A BaseException, so that no model swallows it."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer


class _Until(Answers):
    """The network up to the answer of one of its modules."""

    def __init__(self, network: nn.Module, text: str) -> None:
        super().__init__(network)
        self._text = text

    def forward(self, images: Tensor) -> Any:
        try:
            self.network(images)
        except _Reached as reached:
            return reached.answer
        raise BadSuite(f"adaptation {self._text!r}: the model does not run this module for these images")


@dataclass(frozen=True)
class Member(OfModule):
    """The answer of one module is what is attacked: a member of an ensemble, or the classifier before a detector."""

    name = "member"
    takes = "the name of a module that returns logits"

    def apply(self, network: nn.Module) -> nn.Module:
        """Ends the forward pass where the module has answered."""

        def answer(_module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> None:
            raise _Reached(output)

        self.module(network).register_forward_hook(answer)
        return wrapped_inside(network, lambda model: _Until(model, self.text))


def through(value: Tensor, path: Tensor) -> Tensor:
    """`value`, whose gradient is that of `path`, of the same shape."""
    return value.detach() + (path - path.detach()).to(value.dtype)


def positive(text: str, what: str, words: str) -> float:
    """A number above 0 in an argument.

    Raises:
        BadSuite: it is none; says what is expected.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise BadSuite(f"adaptation {what!r:.120} needs {words}")
    return value


def _first(inputs: tuple[Any, ...], what: str) -> Tensor:
    if not inputs or not isinstance(inputs[0], Tensor):
        raise BadSuite(f"adaptation {what!r}: the module is not called with a tensor first")
    return inputs[0]


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__
