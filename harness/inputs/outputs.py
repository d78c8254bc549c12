"""What a model returns for one image of the data, and the logits in it: some return them beside other things."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from harness.base.memory import is_out_of_memory
from harness.base.randomness import forked
from harness.base.torch_state import evaluating
from harness.errors import ModelRefused
from harness.types import Dataset, LoadedModel, ModelCard

NAMED = "logits"
"""The entry or attribute that is taken whatever lies beside it."""


class LogitsOf(nn.Module):
    """A network that returns several things, of which the logits [n,K] are handed on.

    Args:
        network: Takes images [n,C,H,W].
        entry: Position, key or attribute of the logits in what it returns.
    """

    def __init__(self, network: nn.Module, entry: int | str) -> None:
        super().__init__()
        self.network, self.entry = network, entry

    def forward(self, images: Tensor) -> Tensor:
        """Logits [n,K]."""
        output: Any = self.network(images)
        taken: Tensor = getattr(output, str(self.entry)) if _has_attributes(output) else output[self.entry]
        return taken


def fitted(model: LoadedModel, data: Dataset) -> LoadedModel:
    """`model` with its logits found and, where the number of classes was guessed, counted: by one image of `data`.

    A model that fails on the image comes back as it is, as with data that cannot be read: the doctor says why.

    Raises:
        ModelRefused: it returns one number an image, no logits, or several things that may be the logits.
    """
    if model.card is not None and not model.guessed:
        return model
    try:
        output = answer(model.module, data.take([0])[0][:1])
    except Exception as error:  # whatever a stranger's forward raises
        if is_out_of_memory(error):
            raise
        return model
    return with_logits(model, output, data)


def answer(module: nn.Module, image: Tensor) -> Any:
    """What `module` returns for `image` [1,C,H,W], in eval mode, without gradients and with fixed draws."""
    first = next((tensor for tensor in (*module.parameters(), *module.buffers())), image)
    with forked(0), evaluating(module), torch.no_grad():
        return module(image.to(first.device))


def with_logits(model: LoadedModel, output: Any, data: Dataset) -> LoadedModel:
    """`model` by what it returned for one image of `data`; raises as `fitted`."""
    if isinstance(output, Tensor):
        count = _count(model, output)
        return replace(model, num_classes=count, guessed=False) if model.guessed else model
    entry, logits = _obvious(model, output, len(data.classes))
    count = _count(model, logits)
    told = f"returns {_kind(output)}; its {_spelled(output, entry)} is measured as the logits"
    card = model.card
    if card is None:
        channels, height, width = model.input_shape or data.take([0])[0].shape[1:]
        card = ModelCard(model.name, "", type(model.module).__name__, count, (channels, height, width))
    card = replace(card, notes=f"{card.notes} It {told}.".strip())
    module = LogitsOf(model.module, entry)
    return replace(
        model, module=module, num_classes=count if model.guessed else model.num_classes, card=card, guessed=False
    )


def _count(model: LoadedModel, logits: Tensor) -> int:
    shape = tuple(logits.shape)
    if shape in ((1,), (1, 1), ()):
        raise ModelRefused(
            f"model {model.name!r} returned one number for one image {shape}; expected a logit for each of its classes:"
            " for two classes and a score z return torch.stack([torch.zeros_like(z), z], dim=1) with z of shape [n]"
        )
    if len(shape) != 2 or shape[0] != 1:
        raise ModelRefused(
            f"model {model.name!r} returned {shape} for one image; expected logits (1, number of classes)"
        )
    return shape[1]


def _obvious(model: LoadedModel, output: Any, classes: int) -> tuple[int | str, Tensor]:
    """Where in `output` the logits are."""
    entries = dict(_entries(output))
    named: int | str = NAMED
    if NAMED in getattr(output, "_fields", ()):
        named = output._fields.index(NAMED)
    if named in entries:
        return named, entries[named]
    fitting = {key: value for key, value in entries.items() if value.ndim == 2 and len(value) == 1}
    for count in [] if len(fitting) <= 1 else [0 if model.guessed else model.num_classes, classes]:
        exact = {key: value for key, value in fitting.items() if value.shape[1] == count}
        fitting = exact if len(exact) == 1 else fitting
    if len(fitting) == 1:
        return next(iter(fitting.items()))
    there = ", ".join(f"{_spelled(output, key)} {tuple(value.shape)}" for key, value in entries.items()) or "no tensors"
    raise ModelRefused(
        f"model {model.name!r} returned {_kind(output)} for one image ({there}), in which the logits (1, number of"
        " classes) are not plain; return them alone, or under the name 'logits'"
    )


def _entries(output: Any) -> Iterator[tuple[int | str, Tensor]]:
    """The tensors of floating type in what a model returned, by position, key or attribute."""
    pairs: list[tuple[Any, Any]]
    if isinstance(output, Mapping):
        pairs = list(output.items())
    elif isinstance(output, (tuple, list)):
        pairs = list(enumerate(output))
    elif is_dataclass(output):
        pairs = [(field.name, getattr(output, field.name)) for field in fields(output)]
    else:
        pairs = list(getattr(output, "__dict__", {}).items())
    for key, value in pairs:
        if isinstance(value, Tensor) and value.is_floating_point():
            yield key, value


def _kind(output: Any) -> str:
    name = type(output).__name__
    return f"a {name} of {len(output)}" if isinstance(output, (tuple, list)) else f"a {name}"


def _spelled(output: Any, entry: int | str) -> str:
    return f"attribute {entry!r}" if _has_attributes(output) else f"entry {entry!r}"


def _has_attributes(output: Any) -> bool:
    """Whether parts of `output` are attributes, not entries."""
    return not isinstance(output, (Mapping, tuple, list))
