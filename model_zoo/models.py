"""The zoo's checkpoints, one function each: what the entry points of the group ``harness.models`` name."""

from __future__ import annotations

from harness.types import LoadedModel
from model_zoo.loading.from_card import load_zoo


def standard() -> LoadedModel:
    """Undefended."""
    return load_zoo("standard")


def trades() -> LoadedModel:
    """TRADES at 3/255."""
    return load_zoo("trades")


def trades_8() -> LoadedModel:
    """TRADES at 8/255."""
    return load_zoo("trades-8")


def a2s_trades() -> LoadedModel:
    """A2S pre-training and standard training, then TRADES at 8/255."""
    return load_zoo("a2s-trades")


def fgsm() -> LoadedModel:
    """FGSM training at 8/255."""
    return load_zoo("fgsm")


def fast_fgsm() -> LoadedModel:
    """Fast-FGSM training at 8/255."""
    return load_zoo("fast_fgsm")


def a2s() -> LoadedModel:
    """A2S pre-training, then standard training."""
    return load_zoo("a2s")


def pgd() -> LoadedModel:
    """PGD training at 8/255; not shipped."""
    return load_zoo("pgd")


def a2a() -> LoadedModel:
    """A2A pre-training, then standard training; not shipped."""
    return load_zoo("a2a")


def s2s() -> LoadedModel:
    """Plain contrastive pre-training, then standard training; not shipped."""
    return load_zoo("s2s")
