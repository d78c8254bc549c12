"""What code a model or an attack is made of, as a hash: two of one name and with the same tensors may differ in it.

The code that is followed is the user's: the classes of a model's modules, what their functions name, and so on.
Installed packages are followed only where a class of theirs is a part of the model, or is the attack; PyTorch's modules
are known by version and attributes.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from harness.types import LoadedModel

VERSIONED = frozenset({"torch", "torchvision", "timm", "harness", "model_zoo", "adapters", "torchattacks", "art"})
"""Packages whose versions, or whose weights' cards, say which code it is."""
BROUGHT = "__harness_brought__"
"""Set in modules that lie beside a user's file: no other process has their folder on its path."""
PLAIN = (bool, int, float, complex, str, bytes, type(None))


def model_code(module: nn.Module) -> str:
    """A hash of the user's code in `module` and of what its parts hold besides tensors."""
    code = _Code({_top(type(part).__module__) for part in module.modules()})
    for name, part in module.named_modules():
        code.say(name)
        code.follow(type(part))
        for key, value in sorted(vars(part).items()):
            if key.startswith("_") and key.endswith("_hooks") and isinstance(value, Mapping):
                code.attribute(key, list(value.values()))  # the keys count all hooks that the process ever had
            elif not key.startswith("_"):
                code.attribute(key, value)
    return code.digest()


def is_strange(module: nn.Module) -> bool:
    """Whether `module` has a part whose class no version names."""
    return any(_is_users(type(part).__module__) for part in module.modules())


def class_code(cls: type) -> str | None:
    """A hash of the code of a class and of what it names; None for those of packages known by version."""
    if not _is_users(cls.__module__):
        return None
    code = _Code({_top(cls.__module__)})
    code.follow(cls)
    return code.digest()


def _top(module: str) -> str:
    return module.partition(".")[0]


def home(module: str) -> str:
    """A module's name without the mark of the folder that a file of the user's lies in, which is no part of it."""
    return module.partition("__at_")[0] if module.startswith("harness_model_") else module


def _is_users(module: str) -> bool:
    return _top(module) not in VERSIONED and _top(module) not in sys.stdlib_module_names


class _Code:
    """Collects code, each piece once; of installed packages that of `packages` alone."""

    def __init__(self, packages: set[str]) -> None:
        self._total = hashlib.sha256()
        self._seen: set[int] = set()
        self._packages = packages

    def digest(self) -> str:
        return self._total.hexdigest()

    def say(self, text: str) -> None:
        content = text.encode("utf-8", "surrogatepass")
        self._total.update(len(content).to_bytes(8, "little") + content)

    def attribute(self, name: str, value: Any) -> None:
        """What an object or a class holds under `name`; modules are told by others."""
        if name == "training":
            return
        self.say(name)
        self._value(value)

    def follow(self, thing: Any) -> None:
        """A class or function and what it names, unless a version names it."""
        module = getattr(thing, "__module__", None) or ""
        self.say(f"{home(module)}.{getattr(thing, '__qualname__', type(thing).__qualname__)}")
        if id(thing) in self._seen or not self._is_followed(module):
            return
        self._seen.add(id(thing))
        if isinstance(thing, type):
            for base in thing.__bases__:
                self.follow(base)
            for name, value in sorted(vars(thing).items()):
                if not name.startswith("__") or callable(value):
                    self.attribute(name, value)
        else:
            self._function(thing)

    def _is_followed(self, module: str) -> bool:
        """Not into other installed packages."""
        if not _is_users(module):
            return False
        installed = "site-packages" in (getattr(sys.modules.get(module), "__file__", None) or "")
        return _top(module) in self._packages or not installed

    def _value(self, value: Any, depth: int = 0) -> None:
        if isinstance(value, PLAIN):
            self.say(repr(value))
        elif isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_meta:
            # One that no state dict holds.
            self.say(f"{value.dtype}{tuple(value.shape)}")
            self._total.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        elif isinstance(value, np.ndarray) and value.dtype != object:
            self.say(f"{value.dtype}{value.shape}")
            self._total.update(np.ascontiguousarray(value).tobytes())
        elif isinstance(value, (staticmethod, classmethod, MethodType)):
            self._value(value.__func__, depth)
        elif isinstance(value, property):
            for part in (value.fget, value.fset):
                self._value(part, depth)
        elif isinstance(value, (type, FunctionType)):
            self.follow(value)
        elif isinstance(value, Mapping) and depth < 3:
            for key, item in value.items():
                self.say(repr(key) if isinstance(key, PLAIN) else type(key).__qualname__)
                self._value(item, depth + 1)
        elif isinstance(value, (set, frozenset)):
            self.say(repr(sorted(map(repr, value))))
        elif isinstance(value, (list, tuple)) and depth < 3:
            for item in value:
                self._value(item, depth + 1)
        elif isinstance(value, nn.Module) or not _is_users(type(value).__module__):
            self.say(type(value).__qualname__)
        else:
            self.follow(type(value))

    def _function(self, function: Callable[..., Any]) -> None:
        function = inspect.unwrap(function)
        code = getattr(function, "__code__", None)
        if code is None:
            return
        self.say(_text(function, code))
        names = set(_names(code))
        spaces: Mapping[str, Any] = getattr(function, "__globals__", {})
        for name in sorted(names & spaces.keys()):
            value = spaces[name]
            if isinstance(value, ModuleType):
                if _is_users(value.__name__):
                    self._of_module(value, names)
            else:
                self.attribute(name, value)
        for name, cell in zip(code.co_freevars, getattr(function, "__closure__", None) or (), strict=False):
            try:
                self.attribute(name, cell.cell_contents)
            except ValueError:  # not filled yet
                continue
        for default in getattr(function, "__defaults__", None) or ():
            self._value(default)

    def _of_module(self, module: ModuleType, names: set[str]) -> None:
        """What a function that names a module takes from it."""
        for name in sorted(names & vars(module).keys()):
            value = vars(module)[name]
            if isinstance(value, (type, FunctionType)):
                self.follow(value)
            elif isinstance(value, PLAIN):
                self.attribute(name, value)


def _text(function: Callable[..., Any], code: CodeType) -> str:
    """The source, or the compiled code where there is none (an interactive session)."""
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return code.co_code.hex() + repr([const for const in code.co_consts if isinstance(const, PLAIN)])


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _names(const)


def module_digest(model: LoadedModel) -> str:
    """A hash of a module's class and tensors, for models without a weights file."""
    total = hashlib.sha256(type(model.module).__qualname__.encode())
    for name, tensor in sorted(model.module.state_dict().items()):
        if isinstance(tensor, torch.Tensor):
            total.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            total.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return f"state:{total.hexdigest()}"
