"""Interruptions of a training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor


class Interrupted(Exception):
    """Stands for a power cut."""


def interrupting(function: Callable[..., Tensor], calls: int) -> Callable[..., Tensor]:
    """`function`, which raises in call number `calls`."""
    count = 0

    def wrapped(*args: Any) -> Tensor:
        nonlocal count
        count += 1
        if count == calls:
            raise Interrupted
        return function(*args)

    return wrapped
