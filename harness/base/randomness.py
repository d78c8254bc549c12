"""Seeds from names, and all random generators forked and restored."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def derive(seed: int, *parts: object) -> int:
    """A 31-bit seed that depends on every part; floats enter by their bits, so 8/255 is one number everywhere."""
    text = "\x1f".join(part.hex() if isinstance(part, float) else repr(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def generators() -> dict[str, Any]:
    """Where all generators stand: JSON values and arrays."""
    kind, words, *rest = np.random.get_state()
    on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    return {
        "python": random.getstate(),
        "numpy": [kind, np.asarray(words), *rest],
        "torch": torch.get_rng_state().numpy(),
        "cuda": [state.numpy() for state in on_gpus],
    }


def put_back(states: Mapping[str, Any]) -> None:
    """Let all generators go on from where `generators` saw them."""
    version, words, rest = states["python"]
    random.setstate((version, tuple(words), rest))
    np.random.set_state(tuple(states["numpy"]))
    torch.set_rng_state(torch.from_numpy(states["torch"]))
    if states["cuda"]:
        torch.cuda.set_rng_state_all([torch.from_numpy(state) for state in states["cuda"]])


def reseed(seed: int) -> None:
    """Seed torch (CPU and GPUs in use), numpy and python again, within `forked`, which puts them back."""
    random.seed(seed)
    np.random.seed(seed)
    # torch.manual_seed notes for devices that are not there where it was called from: longer than a small forward.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


@contextmanager
def forked(seed: int) -> Iterator[None]:
    """Seed torch (CPU and GPUs in use), numpy and python inside; afterwards each continues where it stood."""
    states = generators()
    reseed(seed)
    try:
        yield
    finally:
        put_back(states)
