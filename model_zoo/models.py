"""The zoo's checkpoints, one function each: what the entry points of the group ``harness.models`` name."""

from __future__ import annotations

from harness.types import LoadedModel
from model_zoo.loading import load_zoo


def standard() -> LoadedModel:
    """Undefended."""
    return load_zoo("standard")


def trades() -> LoadedModel:
    """TRADES at 3/255."""
    return load_zoo("trades")
