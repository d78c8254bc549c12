"""Where a model's gradient might be cut: modules that take images, keep their shape, or answer logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.base.randomness import forked
from harness.inputs.reference import ReferenceModel

MOST = 4
"""Candidates of one kind; the outermost come first."""


@dataclass(frozen=True)
class _Call:
    name: str
    module: nn.Module
    given: Tensor
    answer: Tensor


def candidates(reference: ReferenceModel, images: Tensor) -> list[str]:
    """Adaptations of single modules that the model's structure allows, each once.

    Args:
        reference: The entered reference.
        images: A few images [n,C,H,W]; the model is run on them once.
    """
    images = images.to(reference.device, torch.float32)
    calls, final = _calls(reference.module, images)
    entries = _distinct(calls, lambda one: one.given, images.shape, {id(images)})
    members = _distinct(calls, lambda one: one.answer, final.shape, {id(final)})
    keeping = [
        one
        for one in calls
        if one.given.shape == one.answer.shape and not type(one.module).__module__.startswith("torch.nn.")
    ]
    return [
        *(f"identity:{one.name}" for one in keeping[:MOST]),
        *(f"entry:{one.name}" for one in entries[:MOST]),
        *(f"member:{one.name}" for one in members[:MOST]),
    ]


def _calls(module: nn.Module, images: Tensor) -> tuple[list[_Call], Tensor]:
    """Each module that is run exactly once, from the outside in, with its first argument and its answer."""
    given: dict[str, Tensor] = {}
    answers: dict[str, list[Any]] = {}
    handles = []
    parts = [(name, part) for name, part in module.named_modules() if name]
    for name, part in parts:

        def before(_part: nn.Module, inputs: tuple[Any, ...], name: str = name) -> None:
            if inputs and isinstance(inputs[0], Tensor):
                given.setdefault(name, inputs[0])

        def after(_part: nn.Module, _inputs: tuple[Any, ...], output: Any, name: str = name) -> None:
            answers.setdefault(name, []).append(output)

        handles += [part.register_forward_pre_hook(before), part.register_forward_hook(after)]
    try:
        with forked(0), torch.no_grad():
            final: Tensor = module(images)
    finally:
        for handle in handles:
            handle.remove()
    once = [(name, part) for name, part in parts if len(answers.get(name, ())) == 1 and name in given]
    calls = [_Call(name, part, given[name], answers[name][0]) for name, part in once]
    return [call for call in calls if isinstance(call.answer, Tensor)], final


def _distinct(calls: list[_Call], which: Callable[[_Call], Tensor], shape: torch.Size, seen: set[int]) -> list[_Call]:
    """Calls in which a tensor of this shape appears that no other call before them had."""
    found = []
    for call in calls:
        tensor = which(call)
        if tensor.shape == shape and id(tensor) not in seen:
            seen.add(id(tensor))
            found.append(call)
    return found
