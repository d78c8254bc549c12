"""What training scripts save: state dicts beside other things, under prefixes, with and without counters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import BadWeights

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "ema")
"""Keys under which training scripts put the state dict, beside optimizer and epoch."""
PREFIXES = ("module.", "model.", "_orig_mod.")
"""What wrappers of the network put before every key."""
BOOKKEEPING = ("n_averaged", "num_updates", "decay")
"""Tensors that averages of weights keep beside those of the network."""
_COUNTER = "num_batches_tracked"


def entries(content: Any, path: Path, key: str | None) -> dict[str, dict[str, Tensor]]:
    """The state dicts in what `path` holds, by their keys (``outer.inner``); the usual names first.

    A file that is a state dict itself has one, under the empty key.

    Raises:
        BadWeights: there is none, or none under `key`.
    """
    if key:
        value = _under(content, key)
        if value is None:
            there = ", ".join(map(str, content))[:200] if isinstance(content, Mapping) else type(content).__name__
            raise BadWeights(f"weights {path} have no entry {key!r}; they have {there}")
        if not _is_state(value):
            raise BadWeights(f"weights {path}: entry {key!r} is no state dict; name one with key=...")
        return {key: _floats(value)}
    if _is_state(content):
        return {"": _floats(content)}
    found: dict[str, dict[str, Tensor]] = {}
    if isinstance(content, Mapping):
        for name in sorted(content, key=lambda name: WRAPPERS.index(name) if name in WRAPPERS else len(WRAPPERS)):
            value = content[name]
            if _is_state(value):
                found[str(name)] = _floats(value)
            elif isinstance(value, Mapping):
                found |= {f"{name}.{inner}": _floats(state) for inner, state in value.items() if _is_state(state)}
    if not found:
        raise BadWeights(f"weights {path} hold no state dict; name its entry with key=..., or save model.state_dict()")
    return found


def fitting(
    found: dict[str, dict[str, Tensor]], network: nn.Module, path: Path, prefix: str | None
) -> dict[str, Tensor]:
    """The tensors of the one state dict of `found` that is of `network`, under the network's names.

    Where none fits, those of the first come back, for `load_strictly` to say what is wrong with them.

    Raises:
        BadWeights: several fit and differ, or the prefix is that of no tensor, or is not the only one.
    """
    wanted = network.state_dict()
    options = {key: _named(tensors, wanted, path, prefix) for key, tensors in found.items()}
    fit = {key: tensors for key, tensors in options.items() if _fits(tensors, wanted)}
    if not fit:
        return next(iter(options.values()))
    first = next(iter(fit))
    others = [key for key in fit if any(not torch.equal(fit[key][name], one) for name, one in fit[first].items())]
    if others:
        raise BadWeights(
            f"weights {path} hold {len(others) + 1} state dicts of this architecture that differ"
            f" ({', '.join([first, *others])}); say which one with ?key={others[0]} or &key={first}"
        )
    return fit[first]


def _named(
    tensors: dict[str, Tensor], wanted: Mapping[str, Tensor], path: Path, prefix: str | None
) -> dict[str, Tensor]:
    """`tensors` under the names of the network; counters that no answer depends on are added where they are missing."""
    if prefix:
        chosen = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        if not chosen:
            raise BadWeights(f"weights {path} have no tensor that begins with {prefix!r}; they have {_some(tensors)}")
        return _counted(chosen, wanted)
    needed = [name for name in wanted if not name.endswith(_COUNTER)]
    last = f".{needed[0]}" if needed else ""
    before = {name.removesuffix(last[1:]) for name in tensors if last and name.endswith(last)}
    prefixes = ["", *sorted(before)]
    whole = [one for one in prefixes if all(one + name in tensors for name in needed)]
    if "" in whole:
        return _counted(tensors, wanted)
    if len(whole) > 1:
        raise BadWeights(
            f"weights {path} hold several networks; say which one with &prefix={' or &prefix='.join(whole)}"
        )
    if whole:
        rest = [name for name in tensors if not name.startswith(whole[0]) and name not in BOOKKEEPING]
        if rest:
            raise BadWeights(
                f"weights {path} hold {rest[0]!r} beside the network's; add &prefix={whole[0]} to take those alone"
            )
        chosen = {name.removeprefix(whole[0]): value for name, value in tensors.items() if name.startswith(whole[0])}
        return _counted(chosen, wanted)
    for usual in PREFIXES:
        if tensors and all(name.startswith(usual) for name in tensors):
            tensors = {name.removeprefix(usual): value for name, value in tensors.items()}
    return tensors


def _counted(tensors: dict[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """With the counters of batch norms, which old files lack; in eval mode nothing depends on them."""
    return {name: value for name, value in wanted.items() if name.endswith(_COUNTER)} | tensors


def _fits(tensors: dict[str, Tensor], wanted: Mapping[str, Tensor]) -> bool:
    return tensors.keys() == wanted.keys() and all(tensors[name].shape == one.shape for name, one in wanted.items())


def _under(content: Any, key: str) -> Any:
    """What stands under `key`, or under its parts one inside the other."""
    if not isinstance(content, Mapping):
        return None
    if key in content:
        return content[key]
    outer, _, inner = key.partition(".")
    return _under(content.get(outer), inner) if inner else None


def _is_state(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(one, Tensor) for one in value.values())


def _floats(tensors: Mapping[Any, Tensor]) -> dict[str, Tensor]:
    return {str(name): value.float() if value.is_floating_point() else value for name, value in tensors.items()}


def _some(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(list(tensors)[:3]) + (", ..." if len(tensors) > 3 else "")
