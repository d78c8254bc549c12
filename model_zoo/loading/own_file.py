"""A user's Python file, run as Python would: its own folder first on the path, its own name alone in `sys.argv`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from harness.errors import HarnessError, PluginError, UsageError
from harness.inputs.identity import BROUGHT, RECORDED

_brought: dict[str, ModuleType] = {}
"""What files run here brought into `sys.modules`; the next file may have other modules of these names."""


def call_file(text: str) -> Any:
    """What the function in ``path/to/file.py:function`` returns; a network of that name is itself the answer.

    Raises:
        UsageError: no such file or function.
        PluginError: the file or the function fails.
    """
    path_text, _, name = text.rpartition(":")
    path = Path(path_text)
    if not path.is_file():
        raise UsageError(f"model file {path} does not exist")
    with _at_home(path.resolve()):
        found = _named(path, name)
        if isinstance(found, nn.Module):
            return found
        try:
            return found()
        except HarnessError:
            raise
        except (Exception, SystemExit) as error:  # whatever the user's code raises is reported as theirs
            raise PluginError(f"{text}: the function failed with {_words(error)}") from error


def _named(path: Path, name: str) -> nn.Module | Callable[[], Any]:
    # Two files of one name are two modules; where they lie is no part of a model's identity (`identity.home`).
    place = hashlib.sha256(str(path.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    spec = importlib.util.spec_from_file_location(f"harness_model_{path.stem}__at_{place}", path.resolve())
    if spec is None or spec.loader is None:
        raise UsageError(f"model file {path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickles inside the file look themselves up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a stranger's code
        del sys.modules[spec.name]
        raise PluginError(f"model file {path} cannot be imported: {_words(error)}") from error
    function = getattr(module, name, None)
    if not callable(function):
        there = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise UsageError(f"model file {path} has no function {name!r}; it has {', '.join(there) or 'none'}")
    found: nn.Module | Callable[[], Any] = function
    return found


def _words(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"SystemExit: {error.code} (arguments that it parses are none here: give each a default)"
    return f"{type(error).__name__}: {error}"


@contextmanager
def _at_home(path: Path) -> Iterator[None]:
    """Within the block imports find what lies beside `path` first, then what lies in the working folder.

    Modules of a file that was run earlier, or of the caller, do not stand in for those beside this one. Afterwards both
    folders stay at the end of the path, for imports inside of functions.
    """
    home, here = path.parent, os.getcwd()
    for name, module in _brought.items():
        if sys.modules.get(name) is module:
            del sys.modules[name]
    _brought.clear()
    aside = {name: sys.modules.pop(name) for name in _strangers(home)}
    argv, before = sys.argv, set(sys.modules)
    sys.argv = [str(path)]
    added = [str(home), here]
    sys.path[:0] = added
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.argv = argv
        for folder in added:
            if folder in sys.path:  # the file may have changed the path, which stays
                sys.path.remove(folder)
        sys.path.extend(folder for folder in dict.fromkeys(added) if folder not in sys.path)
        fresh = [name for name in sys.modules.keys() - before if _lies_in(sys.modules[name], (home, Path(here)))]
        _brought.update((name, sys.modules[name]) for name in fresh if name not in aside)
        for name in fresh:
            vars(sys.modules[name])[BROUGHT] = True
        sys.modules.update(aside)


def _strangers(home: Path) -> list[str]:
    """Modules, not of installed packages, that a module of the same name in `home` would be taken for."""
    found = []
    for name, module in list(sys.modules.items()):
        top = name.partition(".")[0]
        root = sys.modules.get(top, module)
        beside = (home / f"{top}.py").is_file() or (home / top).is_dir()
        if beside and _is_loose(root) and not _lies_in(root, (home,)):
            found.append(name)
    return found


def _lies_in(module: ModuleType, folders: tuple[Path, ...]) -> bool:
    """Whether the file of a module that is no installed one lies below one of `folders`."""
    place = _place(module)
    return place is not None and _is_loose(module) and any(place.is_relative_to(folder) for folder in folders)


def _is_loose(module: ModuleType) -> bool:
    """Whether `module` is a file somewhere, no installed package, part of Python or the program itself."""
    name = getattr(module, "__name__", "")
    top = name.partition(".")[0]
    place = _place(module)
    if place is None or top in RECORDED or top in sys.stdlib_module_names or top in ("__main__", "leaderboard"):
        return False
    return not {"site-packages", "dist-packages"} & set(place.parts)


def _place(module: ModuleType) -> Path | None:
    """Where a module was read from; of packages without an ``__init__.py`` their folder."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str):
        folders = list(getattr(module, "__path__", ()))
        file = folders[0] if folders else None
    return Path(file).resolve() if isinstance(file, str) else None
