"""Attacks of torchattacks (Kim 2020, arXiv:2010.01950), one class each; the tool is imported when one runs."""

from __future__ import annotations

from adapters.torchattacks.base import TorchAttack
from adapters.torchattacks.ensemble import APGD, APGDT, FAB, FABT, SPSA, Cascade, Square
from adapters.torchattacks.gradient import BIM, EOTPGD, FFGSM, FGSM, PGD, PGDL2, RFGSM, TPGD, UPGD, Jitter
from adapters.torchattacks.minimum import CW, DeepFool
from adapters.torchattacks.pixels import OnePixel
from adapters.torchattacks.transfer import (
    DIFGSM,
    MIFGSM,
    NIFGSM,
    PIFGSM,
    PIFGSMPP,
    SINIFGSM,
    TIFGSM,
    VMIFGSM,
    VNIFGSM,
)

METHODS: dict[str, type[TorchAttack]] = {
    "torchattacks.apgd": APGD,
    "torchattacks.apgdt": APGDT,
    "torchattacks.bim": BIM,
    "torchattacks.cascade-10": Cascade,
    "torchattacks.cw": CW,
    "torchattacks.deepfool": DeepFool,
    "torchattacks.difgsm": DIFGSM,
    "torchattacks.eotpgd": EOTPGD,
    "torchattacks.fab": FAB,
    "torchattacks.fab-t": FABT,
    "torchattacks.ffgsm": FFGSM,
    "torchattacks.fgsm": FGSM,
    "torchattacks.jitter": Jitter,
    "torchattacks.mifgsm": MIFGSM,
    "torchattacks.nifgsm": NIFGSM,
    "torchattacks.onepixel": OnePixel,
    "torchattacks.pgd": PGD,
    "torchattacks.pgdl2": PGDL2,
    "torchattacks.pifgsm": PIFGSM,
    "torchattacks.pifgsmpp": PIFGSMPP,
    "torchattacks.rfgsm": RFGSM,
    "torchattacks.sinifgsm": SINIFGSM,
    "torchattacks.spsa": SPSA,
    "torchattacks.square": Square,
    "torchattacks.tifgsm": TIFGSM,
    "torchattacks.tpgd": TPGD,
    "torchattacks.upgd": UPGD,
    "torchattacks.vmifgsm": VMIFGSM,
    "torchattacks.vnifgsm": VNIFGSM,
}
"""Registered name to class."""

__all__ = [
    "APGD",
    "APGDT",
    "BIM",
    "CW",
    "DIFGSM",
    "EOTPGD",
    "FAB",
    "FABT",
    "FFGSM",
    "FGSM",
    "METHODS",
    "MIFGSM",
    "NIFGSM",
    "PGD",
    "PGDL2",
    "PIFGSM",
    "PIFGSMPP",
    "RFGSM",
    "SINIFGSM",
    "SPSA",
    "TIFGSM",
    "TPGD",
    "UPGD",
    "VMIFGSM",
    "VNIFGSM",
    "Cascade",
    "DeepFool",
    "Jitter",
    "OnePixel",
    "Square",
]
