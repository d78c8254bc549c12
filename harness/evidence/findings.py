"""The checks by code: doctor before a run, diagnosis after it. The pages of these names in docs say what each sees."""

from __future__ import annotations

from collections.abc import Mapping

from harness.base.statistics import fisher
from harness.types import Claim, Finding, Level

CHECKS: Mapping[str, str] = {
    "P0": "forward pass",
    "P1": "images and labels",
    "P2": "tiny ball",
    "P3": "clean accuracy",
    "P4": "modes and buffers",
    "P5": "determinism",
    "P6": "logits",
    "P7": "gradients",
    "P8": "attack order",
    "P9": "unbounded attack",
    "P14": "units",
    "P15": "classes and shape",
    "P16": "overfitting to one attack",
    "P20": "normalization",
    "P21": "unstable predictions",
    "P22": "steps still helping",
    "P23": "restarts still helping",
    "P24": "silent success",
    "P25": "tools disagree",
    "P26": "transfer",
    "P27": "names",
    "P28": "training images",
    "P30": "adaptation",
}
"""Code to title. Numbers are never given another meaning; those missing belong to checks that are made elsewhere."""

PREFLIGHT = ("P0", "P1", "P2", "P3", "P4", "P5", "P6", "P7", "P15", "P20", "P21", "P28")
"""What the doctor checks of a model on a data set; before a run, P14 of its suite as well."""
NOTHING_MORE = "those inside the ball break 0 more samples here"
"""How a P26 ends that found nothing; tables say it once for all of them."""
REFUSED = 1e-6
"""p value below which a mismatch is not put down to the sample."""


def found(
    check: str, level: Level, message: str, figure: float | None = None, threshold: float | None = None
) -> Finding:
    """A finding of `check`; its message starts with the check's title."""
    return Finding(check, level, f"{CHECKS[check]}: {message}", figure, threshold)


def share(part: int, n: int) -> float:
    """`part` of `n`; 0 of nothing."""
    return part / n if n else 0.0


def percent(value: float) -> str:
    """A share for a message."""
    return f"{100 * value:.1f} %"


def against_claim(right: int, n: int, claim: Claim | None, data: str, level: Level) -> list[Finding]:
    """P3: Fisher's exact test of the sample against the card's claim, which was counted on `claim.n` images itself.

    Both directions count: a model far better than its card is another model, or was measured on other data.
    """
    if claim is None or n == 0:
        return []
    p = fisher(right, n, round(claim.accuracy * claim.n), claim.n)
    if p >= REFUSED:
        return []
    message = (
        f"{percent(right / n)} of {n} images of {data} are right, but the card claims {percent(claim.accuracy)}"
        f" (n={claim.n}; p = {p:.1g}); check preprocessing, weights and class order, or mend the card"
    )
    return [found("P3", level, message, right / n, claim.accuracy)]
