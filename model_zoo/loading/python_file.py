"""A model from a Python file of the user's: ``path/to/file.py:function``."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

from torch import nn

from harness.errors import HarnessError, ModelRefused, PluginError, UsageError
from harness.types import LoadedModel


def python_file(text: str) -> LoadedModel | None:
    """``path/to/file.py:function``, a function without arguments.

    It returns a `torch.nn.Module` that takes images in [0,1] and returns logits, or such a module with a dictionary
    that may hold ``num_classes``, ``input_shape`` (C, H, W), ``mean`` and ``std`` (put inside) and ``name``. A
    `LoadedModel` will do, too.

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


def call_file(text: str) -> Any:
    """What the function in ``path/to/file.py:function`` returns.

    Raises:
        UsageError: no such file or function.
        PluginError: the file or the function fails.
    """
    path_text, _, name = text.rpartition(":")
    function = _function(Path(path_text), name)
    try:
        return function()
    except HarnessError:
        raise
    except Exception as error:  # whatever the user's code raises is reported as theirs
        raise PluginError(f"{text}: the function failed with {type(error).__name__}: {error}") from error


def with_contract(module: nn.Module, contract: Mapping[str, Any], name: str, where: str) -> LoadedModel:
    """`module` with its normalization inside and its class count known.

    Raises:
        PluginError: an unknown key, or a value of the wrong type.
        ModelRefused: the class count is neither given nor to be read from the last linear layer.
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
        if not linear:
            raise ModelRefused(f"{where}: the number of classes is not known; return (model, {{'num_classes': ...}})")
        classes = linear[-1]
    shape = contract.get("input_shape")
    if shape is not None:
        fits = isinstance(shape, Sequence) and len(shape) == 3 and all(map(_is_count, shape))
        _expect(fits, where, "input_shape", shape, "(channels, height, width)")
    title = contract.get("name", name)
    _expect(isinstance(title, str), where, "name", title, "text")
    mean, std = (_statistics(contract, key, where) for key in ("mean", "std"))
    module = Normalized(module, mean, std) if mean or std else module
    return LoadedModel(
        title,
        module.eval(),
        int(classes),
        (int(shape[0]), int(shape[1]), int(shape[2])) if shape is not None else None,
        state_sha256(module),
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


def _function(path: Path, name: str) -> Callable[[], Any]:
    if not path.is_file():
        raise UsageError(f"model file {path} does not exist")
    spec = importlib.util.spec_from_file_location(f"harness_model_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"model file {path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickles inside the file look themselves up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a stranger's code
        raise PluginError(f"model file {path} cannot be imported: {type(error).__name__}: {error}") from error
    function = getattr(module, name, None)
    if not callable(function):
        there = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise UsageError(f"model file {path} has no function {name!r}; it has {', '.join(there) or 'none'}")
    found: Callable[[], Any] = function
    return found
