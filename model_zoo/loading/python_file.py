"""A model from a Python file of the user's: ``path/to/file.py:function``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

from torch import nn

from harness.errors import PluginError, UsageError
from harness.types import LoadedModel
from model_zoo.loading.own_file import call_file


def python_file(text: str) -> LoadedModel | None:
    """``path/to/file.py:function``, a function without arguments, or a network that the file has under this name.

    The function returns a `torch.nn.Module` that takes images in [0,1] and returns logits, or such a module with a
    dictionary that may hold ``num_classes``, ``input_shape`` (C, H, W), ``mean`` and ``std`` (put inside) and ``name``.
    A `LoadedModel` will do, too.

    Raises:
        UsageError: no such file or function.
        PluginError: the file or the function fails, or returns something else.
    """
    path_text, _, function_name = text.rpartition(":")
    if not path_text.endswith(".py"):
        if text.endswith(".py"):
            raise UsageError(f"model {text!r} names no function; write {text}:function")
        return None
    path = Path(path_text)
    made = call_file(text)
    if isinstance(made, LoadedModel):
        return made
    module, contract = made if isinstance(made, tuple) and len(made) == 2 else (made, {})
    if not isinstance(module, nn.Module) or not isinstance(contract, Mapping):
        raise PluginError(f"{text} returns {type(made).__name__}; expected a torch.nn.Module or (module, dict)")
    return with_contract(module, contract, f"{path.stem}:{function_name}", text)


def with_contract(module: nn.Module, contract: Mapping[str, Any], name: str, where: str) -> LoadedModel:
    """`module` with its normalization inside; a class count that is not given is counted when the data are known.

    Raises:
        PluginError: an unknown key, or a value of the wrong type.
    """
    from model_zoo.loading.architectures import Normalized
    from model_zoo.loading.weights_file import state_sha256

    known = ("num_classes", "input_shape", "mean", "std", "name")
    unknown = [key for key in contract if key not in known]
    if unknown:
        raise PluginError(f"{where}: unknown key {unknown[0]!r} beside the model; known: {', '.join(known)}")
    classes = contract.get("num_classes")
    if classes is not None:
        _expect(_is_count(classes), where, "num_classes", classes, "a whole number of at least 1")
    else:
        linear = [layer.out_features for layer in module.modules() if isinstance(layer, nn.Linear)]
        classes = linear[-1] if linear else 0  # until the first image of the data tells
    shape = contract.get("input_shape")
    if shape is not None:
        fits = isinstance(shape, Sequence) and len(shape) == 3 and all(map(_is_count, shape))
        _expect(fits, where, "input_shape", shape, "(channels, height, width)")
    title = contract.get("name", name)
    _expect(isinstance(title, str), where, "name", title, "text")
    mean, std = (_statistics(contract, key, where) for key in ("mean", "std"))
    module = Normalized(module, mean, std) if mean or std else module
    module.eval()  # what it returns is not asked: some overrides return nothing
    return LoadedModel(
        title,
        module,
        int(classes),
        (int(shape[0]), int(shape[1]), int(shape[2])) if shape is not None else None,
        state_sha256(module),
        guessed=contract.get("num_classes") is None,
    )


def _statistics(contract: Mapping[str, Any], key: str, where: str) -> tuple[Any, ...]:
    """The numbers under `key`, one a channel, unchanged: they are part of the model's identity."""
    value = contract.get(key, ())
    try:
        numbers = tuple(value)
        fits = all(not isinstance(number, str) and math.isfinite(number) for number in numbers)
    except (TypeError, ValueError, RuntimeError):  # not iterable, or not of numbers
        fits = False
    _expect(fits, where, key, value, "finite numbers, one a channel, such as (0.5, 0.5, 0.5); leave it out for none")
    return numbers


def _is_count(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) > 0


def _expect(fits: bool, where: str, key: str, value: Any, expected: str) -> None:
    if not fits:
        raise PluginError(f"{where}: {key} is {value!r}; expected {expected}")
