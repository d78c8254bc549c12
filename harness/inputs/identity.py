"""Which model it is, in three parts: subject (tensors), definition (source files) and fingerprint (how it behaves).

The *subject* is the same however the tensors came in: a file, a plugin, a module in a notebook. The *definition* knows
the user's source files, and installed packages by version; it is a part of the run's key. Neither sees a switch in a
dataclass, a global, an environment variable or a file that is read at run time: the *fingerprint*
(`harness.inputs.fingerprint`), which is measured and compared, does.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path
from types import CodeType
from typing import Any

import torch
from torch import Tensor, nn

from harness.types import LoadedModel

RECORDED = frozenset({"torch", "torchvision", "harness", "model_zoo", "adapters", "torchattacks", "art"})
"""Packages whose versions every run.json says; the key does not, so that a run goes on after an update."""
WRAPPERS = ("_orig_mod.", "module.")
"""What ``torch.compile`` and ``DataParallel`` put before every name."""
BROUGHT = "__harness_brought__"
"""Set in modules that lie beside a user's file: no other process has their folder on its path."""
PLAIN = (bool, int, float, complex, str, bytes, type(None))


def subject(module: nn.Module) -> str:
    """``sha256:`` over names, dtypes, shapes and bytes of all parameters and buffers, also those no file holds."""
    tensors = dict(module.named_parameters(remove_duplicate=False)) | dict(module.named_buffers(remove_duplicate=False))
    tensors |= {name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)}
    for prefix in WRAPPERS:
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    total = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        _say(total, f"{name} {value.dtype} {tuple(value.shape)}")
        total.update(_bytes(value))
    return f"sha256:{total.hexdigest()}"


def weights_of(model: LoadedModel) -> str:
    """What run.json and key call ``sha256``: of the weights file, or of class and tensors where there is none."""
    if model.weights_sha256:
        return model.weights_sha256
    total = hashlib.sha256(type(model.module).__qualname__.encode())
    for name, tensor in sorted(model.module.state_dict().items()):
        if isinstance(tensor, Tensor):
            total.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            total.update(_bytes(tensor))
    return f"state:{total.hexdigest()}"


def is_model(model: LoadedModel, weights: str, tensors: str | None) -> bool:
    """Whether `model` is the one with this subject; of runs that tell none, with this hash of the weights."""
    return weights == weights_of(model) if tensors is None else tensors == subject(model.module)


def model_definition(model: LoadedModel) -> str | None:
    """A hash of the code behind `model`; None where a card names it and every class is of a recorded package."""
    involved = list(_involved(model.module))
    if model.card is not None and not any(_is_users(thing) for thing in involved):
        return None
    total = hashlib.sha256(_code(involved).encode())
    for name, part in model.module.named_modules():
        _say(total, f"{name} {type(part).__qualname__}")
        for key, value in sorted(vars(part).items()):
            if not key.startswith("_") and key != "training" and _is_plain(value):
                _say(total, f"{key}={value!r}")  # so that a sweep over such a value has a folder for each
    return total.hexdigest()


def class_definition(cls: type) -> str | None:
    """A hash of the code behind a class, such as an attack's; None for those of recorded packages."""
    return _code(cls.__mro__) if any(map(_is_users, cls.__mro__)) else None


def _involved(module: nn.Module) -> Iterator[Any]:
    """Classes and functions of a model's parts: bases, hooks, and what they hold, alone or in a container."""
    for part in module.modules():
        yield from type(part).__mro__
        for value in vars(part).values():
            held = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
            for item in (value, *held):
                while isinstance(item, partial):
                    item = item.func
                owner = getattr(item, "__self__", None)  # of a method, also of the `apply` of an autograd function
                for thing in (item, owner):
                    if not isinstance(thing, nn.Module):
                        yield thing if getattr(thing, "__qualname__", None) else type(thing)


def _code(things: Iterable[Any]) -> str:
    """A hash of the source files of `things` and of the local ones that these import; of packages the version."""
    files: dict[Path, str] = {}
    words: set[str] = set()
    packages: set[str] = set()
    for thing in filter(_is_users, {id(thing): thing for thing in things}.values()):  # layers share their classes
        module = thing.__module__
        path = _source(thing)
        if path is None:  # an interactive session
            words.add(f"{thing.__qualname__} {_compiled(thing)}")
        elif _is_installed(path):
            packages.add(module.partition(".")[0])
        else:
            _collect(path.resolve(), files)
    words |= _versions(packages)
    total = hashlib.sha256()
    for word in (*sorted(files.values()), *sorted(words)):
        _say(total, word)
    return total.hexdigest()


def _is_users(thing: Any) -> bool:
    """Whether a class or function is of no recorded package, nor of Python's own."""
    top = str(getattr(thing, "__module__", None) or "builtins").partition(".")[0]
    return top == "__main__" or (top not in RECORDED and top not in sys.stdlib_module_names)


def _is_installed(path: Path) -> bool:
    return "site-packages" in path.parts or "dist-packages" in path.parts


def _versions(packages: set[str]) -> set[str]:
    """Each package with its version, by one look at what is installed, which is slow."""
    owners = metadata.packages_distributions() if packages else {}
    found = set()
    for package in packages:
        try:
            version = metadata.version(owners.get(package, [package])[0])
        except metadata.PackageNotFoundError:
            version = getattr(sys.modules.get(package), "__version__", "unknown")
        found.add(f"{package} {version}")
    return found


def _file(module: str) -> Path | None:
    path = getattr(sys.modules.get(module), "__file__", None)
    return Path(path) if path and Path(path).is_file() else None


def _source(thing: Any) -> Path | None:
    """The file a class or function is in; two modules may have had one name, so its code is asked before its module."""
    values = vars(thing).values() if isinstance(thing, type) else [thing]
    codes = [getattr(getattr(value, "__func__", value), "__code__", None) for value in values]
    paths = [path for code in codes if code is not None and (path := Path(code.co_filename)).is_file()]
    usual = _file(thing.__module__)
    return paths[0] if paths and usual not in paths else usual


def _collect(path: Path, files: dict[Path, str]) -> None:
    """The file's hash, and those of local modules that it imports, directly or through others."""
    waiting = [path]
    while waiting:
        path = waiting.pop()
        if path in files or _is_installed(path):
            continue
        content = path.read_bytes()
        files[path] = hashlib.sha256(content).hexdigest()
        if path.suffix == ".py":
            waiting += (found.resolve() for found in _imports(path, content))


def _imports(path: Path, content: bytes) -> Iterator[Path]:
    """Files of local modules that the source names in an import, wherever in it that stands."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _found(alias.name, path.parent)
        elif isinstance(node, ast.ImportFrom):
            names = ["", *(f".{alias.name}" for alias in node.names)]
            folder = path.parents[node.level - 1] if 0 < node.level <= len(path.parents) else path.parent
            for name in names:
                yield from _found(f"{node.module or ''}{name}".strip("."), folder, relative=node.level > 0)


def _found(name: str, folder: Path, relative: bool = False) -> Iterator[Path]:
    """Files of a module and of the packages it is in: as it is loaded, on the path, or in `folder`."""
    top, *rest = name.split(".")
    if relative and not name and (folder / "__init__.py").is_file():
        yield folder / "__init__.py"
    if not relative and (top in RECORDED or top in sys.stdlib_module_names):
        return
    places = [str(folder)]
    if not relative:
        loaded = _file(top)
        places = [*([str(loaded.parent.parent if loaded.stem == "__init__" else loaded.parent)] if loaded else []),
                  *sys.path, *places]  # fmt: skip
    for part in [top, *rest] if name else ():
        spec = PathFinder.find_spec(part, places)
        if spec is None:
            return
        if spec.origin and spec.has_location and not _is_installed(Path(spec.origin)):
            yield Path(spec.origin)
        places = list(spec.submodule_search_locations or ())
        if not places or any(_is_installed(Path(place)) for place in places):
            return


def _compiled(thing: Any) -> str:
    """The compiled code of a function, or of a class's functions, and the plain values beside it."""
    values = vars(thing).items() if isinstance(thing, type) else [(thing.__qualname__, thing)]
    told = []
    for name, value in sorted(values):
        inner = getattr(value, "__func__", value)
        if isinstance(code := getattr(inner, "__code__", None), CodeType):
            told.append(f"{name} {_words(code)}")
        elif _is_plain(value) and not name.startswith("__"):
            told.append(f"{name}={value!r}")
    return " ".join(told)


def _words(code: CodeType) -> str:
    constants = [_words(const) if isinstance(const, CodeType) else repr(const) for const in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def _is_plain(value: Any) -> bool:
    return isinstance(value, PLAIN) or (isinstance(value, (tuple, list)) and all(map(_is_plain, value)))


def _say(total: Any, text: str) -> None:
    content = text.encode("utf-8", "surrogatepass")
    total.update(len(content).to_bytes(8, "little") + content)


def _bytes(value: Tensor) -> bytes:
    """The numbers of a tensor; of kinds that have no plain bytes a description."""
    try:
        value = value.detach().to_dense() if value.layout != torch.strided else value.detach()
        return value.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    except (RuntimeError, NotImplementedError, TypeError, ValueError):
        return f"{value.layout} {type(value).__qualname__}".encode()
