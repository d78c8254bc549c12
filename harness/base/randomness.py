"""Seeds from names, and all random generators forked and restored."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive(seed: int, *parts: object) -> int:
    """A 31-bit seed that depends on every part; floats enter by their bits, so 8/255 is one number everywhere."""
    text = "\x1f".join(part.hex() if isinstance(part, float) else repr(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def reseed(seed: int) -> None:
    """Seed torch (CPU and GPUs in use), numpy and python again, within `forked`, which puts them back."""
    random.seed(seed)
    np.random.seed(seed)
    # torch.manual_seed notes for other devices where it was called from: that takes longer than a small forward.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


@contextmanager
def forked(seed: int) -> Iterator[None]:
    """Seed torch (all devices), numpy and python inside; afterwards each continues where it stood."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
