"""Attacks of the Adversarial Robustness Toolbox (ART), and any model of the zoo as its classifier.

The toolbox takes seconds to import; that happens when an attack runs or `as_classifier` is called.
"""

from __future__ import annotations

from adapters.art.base import ArtAttack
from adapters.art.classifier import as_classifier
from adapters.art.decision import Boundary, HopSkipJump
from adapters.art.gradient import APGD, FGSM, MIFGSM, PGD, Cascade, Square
from adapters.art.minimum import CW, CWLinf, DeepFool
from adapters.art.patch import AdversarialPatch, MaskedPGD

METHODS: dict[str, type[ArtAttack]] = {
    "art.adversarial-patch": AdversarialPatch,
    "art.apgd": APGD,
    "art.boundary": Boundary,
    "art.cascade": Cascade,
    "art.cw": CW,
    "art.cw-linf": CWLinf,
    "art.deepfool": DeepFool,
    "art.fgsm": FGSM,
    "art.hopskipjump": HopSkipJump,
    "art.masked-pgd": MaskedPGD,
    "art.mifgsm": MIFGSM,
    "art.pgd": PGD,
    "art.square": Square,
}
"""Registered name to class."""

__all__ = [
    "APGD",
    "CW",
    "FGSM",
    "METHODS",
    "MIFGSM",
    "PGD",
    "AdversarialPatch",
    "Boundary",
    "CWLinf",
    "Cascade",
    "DeepFool",
    "HopSkipJump",
    "MaskedPGD",
    "Square",
    "as_classifier",
]
