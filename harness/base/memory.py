"""Out of memory, on the device or on the host, in all the ways it is said."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import torch

_HOST = (
    "DefaultCPUAllocator",
    "can't allocate memory",
    "not enough memory",
    "std::bad_alloc",
    "could not create a primitive",
)
"""What torch's RuntimeErrors say where the host has no memory left; the last is oneDNN's."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether less at once might fit."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _HOST)


def release() -> None:
    """Give cached device memory back, before trying again with less."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


@contextmanager
def little_to_search() -> Iterator[None]:
    """Within the block, the garbage collector looks through what was made in it, not through all that was imported.

    A search through torch, its tools and a model's modules takes a tenth of a second, and a run asks for one a chunk.
    Where somebody has frozen objects already, nothing is done: they could not be told apart from ours afterwards.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def tidy() -> None:
    """Give the memory of the host back that finished units used.

    Attack tools hold images in reference cycles, which Python would find many chunks later; and what is freed stays in
    the C library's heap in pieces, so that a long run would grow by a part of every chunk.
    """
    gc.collect()
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    """The C library's ``malloc_trim``; glibc has it, musl does not."""
    trim: Callable[[int], int] | None = None
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim
