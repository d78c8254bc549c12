"""Resumable checkpoints: written atomically, loaded without unpickling code, all random states included."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.errors import UsageError


def random_states() -> dict[str, Any]:
    """The states of python's, numpy's and torch's generators, as plain values and tensors."""
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (str(name), torch.from_numpy(np.asarray(keys, dtype=np.int64)), position, has_gauss, cached),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Put back what `random_states` gave."""
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"])


def seed_everything(seed: int) -> None:
    """Seed python's, numpy's and torch's generators."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def save(path: Path, content: dict[str, Any]) -> None:
    """Write `content` so that `path` is always either the old checkpoint or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as stream:
        torch.save(content, stream)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def load(path: Path, settings: str) -> dict[str, Any] | None:
    """The checkpoint at `path`, or None if there is none.

    Args:
        path: where `save` put it.
        settings: what the training is now started with, as text; it must be what the checkpoint was made with.

    Raises:
        UsageError: the file is corrupt, or belongs to a training with other settings.
    """
    if not path.exists():
        return None
    advice = "give another output folder, or remove the file to start over"
    try:
        content: dict[str, Any] = torch.load(  # noqa: TID251  # weights_only: runs no code
            path, map_location="cpu", weights_only=True
        )
        before = content["settings"]
    except Exception as error:  # the unpickler raises whatever the bytes make it raise
        raise UsageError(f"{path} is no training checkpoint ({type(error).__name__}: {error}); {advice}") from None
    if before != settings:
        raise UsageError(f"{path} was started with other settings ({before}, now {settings}); {advice}")
    return content
