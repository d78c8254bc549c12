"""AutoAttack (Croce and Hein 2020, arXiv:2003.01690), component by component.

The harness runs the cascade: it calls `perturb` once for each component, on the samples the ones before left, and
keeps facts for each. The components are built here with every parameter spelled out, from the modules that the
distributions ``pyautoattack`` and ``autoattack`` have in common, so that either will do.
"""

from __future__ import annotations

from adapters.autoattack.attack import AutoAttack, Custom, Plus, Rand, Standard
from adapters.autoattack.single import ApgdCE, ApgdDLR, ApgdT, Fab, FabT, Square

METHODS: dict[str, type[AutoAttack]] = {
    "autoattack.apgd-ce": ApgdCE,
    "autoattack.apgd-dlr": ApgdDLR,
    "autoattack.apgd-t": ApgdT,
    "autoattack.custom": Custom,
    "autoattack.fab": Fab,
    "autoattack.fab-t": FabT,
    "autoattack.plus": Plus,
    "autoattack.rand": Rand,
    "autoattack.square": Square,
    "autoattack.standard": Standard,
}
"""Registered name to class."""

__all__ = [
    "METHODS",
    "ApgdCE",
    "ApgdDLR",
    "ApgdT",
    "AutoAttack",
    "Custom",
    "Fab",
    "FabT",
    "Plus",
    "Rand",
    "Square",
    "Standard",
]
