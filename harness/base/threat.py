"""Epsilons, distances, and what "inside the ball" and "inside the box" mean; the tolerances live here alone."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, get_args

from harness.errors import BadEpsilon, UsageError
from harness.types import Norm, Threat

if TYPE_CHECKING:
    from torch import Tensor

    from harness.base.masks import Masks

LINF_SLACK = 1e-6
"""Absolute slack of every norm: float32 images that moved by a full 1/255 are off by up to 6e-8; of shares, too."""
RELATIVE_SLACK = 1e-5
"""Relative slack of l1 and l2, which sum the rounding of all pixels."""

SEVERITIES = (1, 2, 3, 4, 5)
"""Of corruptions: what stands in the grid instead of epsilons."""

_FRACTION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)\s*$", re.ASCII)
_PERCENT = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*%\s*$", re.ASCII)


@dataclass(frozen=True, order=True)
class Epsilon:
    """A radius in input units, or the share of an image that a patch covers, with the text it is printed as."""

    value: float
    label: str

    def __str__(self) -> str:
        return self.label


def parse_epsilon(text: str | float, norm: Norm = "linf", threat: Threat = "ball") -> Epsilon:
    """``"8/255"``, ``"0.5"`` or a float, as an `Epsilon`; of threat ``patch`` the covered share, ``"5%"``.

    Raises:
        BadEpsilon: not a finite number >= 0, or above 1 for linf (images are in [0,1]; ``8`` was meant as ``8/255``);
            of norm l0 no whole number of pixels; of threat ``patch`` no percentage up to 100.
    """
    given = str(text).strip()
    if threat == "patch":
        return _share(given)
    if _PERCENT.match(given):
        raise BadEpsilon(f"epsilon {given!r} is a share of the image, which suites of threat 'patch' take")
    try:
        if match := _FRACTION.match(given):
            value = float(Fraction(match[1]) / Fraction(match[2]))
            label = f"{match[1]}/{match[2]}"
        else:
            value, label = _labeled(float(given), norm)
    except (ValueError, ZeroDivisionError, OverflowError):
        raise BadEpsilon(f"epsilon {given!r} is not a number; write for instance 8/255 or 0.5") from None
    if not math.isfinite(value) or value < 0:
        raise BadEpsilon(f"epsilon {given!r} must be finite and not negative; write for instance 8/255")
    if norm == "l0" and value != math.floor(value):
        raise BadEpsilon(f"epsilon {given!r} is no whole number of pixels, which norm l0 counts; write for instance 3")
    if norm == "linf" and value > 1:
        raise BadEpsilon(f"epsilon {given!r} is above 1, but images are in [0,1]; did you mean {value:g}/255?")
    return Epsilon(value, label)


def parse_grid(texts: Sequence[str | float], norm: Norm = "linf", threat: Threat = "ball") -> tuple[Epsilon, ...]:
    """A list of epsilons, ascending.

    Raises:
        BadEpsilon: one of them is bad, two are equal, or there is none.
    """
    grid = sorted(parse_epsilon(text, norm, threat) for text in texts)
    if not grid:
        example = "2%,5%,10%" if threat == "patch" else "1,3,5" if norm == "l0" else "1/255,2/255,4/255,8/255"
        raise BadEpsilon(f"no epsilon given; write for instance --eps {example}")
    for first, second in pairwise(grid):
        if first.value == second.value:
            raise BadEpsilon(f"epsilon {second.label!r} stands twice in the list; name each once")
    return tuple(grid)


def parse_severities(given: Sequence[object]) -> tuple[Epsilon, ...]:
    """A grid of severities, ascending, from whole numbers or their texts.

    Raises:
        BadEpsilon: one of them is no severity, two are equal, or there is none.
    """
    texts = [str(one).strip() for one in given if not isinstance(one, bool)]
    known = {str(severity): Epsilon(float(severity), str(severity)) for severity in SEVERITIES}
    wrong = [text for text in texts if text not in known]
    if wrong or not texts or len(texts) < len(given):
        raise BadEpsilon(f"severities are {', '.join(known)}; not {', '.join(wrong) or list(given)}")
    if len(set(texts)) < len(texts):
        raise BadEpsilon(f"a severity stands twice in {', '.join(texts)}; name each once")
    return tuple(sorted(known[text] for text in texts))


def parse_levels(given: Sequence[str | float], norm: Norm, threat: Threat) -> tuple[Epsilon, ...]:
    """The grid of a suite: epsilons, of corruptions severities; raises as `parse_grid` and `parse_severities`."""
    return parse_severities(given) if threat == "corruption" else parse_grid(given, norm, threat)


def _share(given: str) -> Epsilon:
    """``"5%"`` or ``"5 %"``: the share of the image that a patch covers."""
    match = _PERCENT.match(given)
    percent = float(match[1]) if match else math.nan
    if not 0 <= percent <= 100:
        raise BadEpsilon(f"covered share {given!r} is not a percentage up to 100; write for instance 5%")
    return Epsilon(percent / 100, f"{percent:.15g}%")


def _labeled(value: float, norm: Norm) -> tuple[float, str]:
    """An epsilon and its label, which reads back as that very number.

    ``8/255`` where a linf epsilon is a whole number of 8-bit steps but for the rounding of a float, which is dropped;
    otherwise the number itself, in as few digits as say it.
    """
    steps = round(value * 255) if math.isfinite(value) else 0
    if norm == "linf" and 1 <= steps <= 255 and math.isclose(value, steps / 255, rel_tol=1e-12):
        return steps / 255, f"{steps}/255"
    short = f"{value:g}"
    return value, short if float(short) == value else repr(value)


def check_norm(norm: str) -> Norm:
    """The norm itself, if it is one.

    Raises:
        UsageError: it is not.
    """
    if norm not in get_args(Norm):
        raise UsageError(f"unknown norm {norm!r}; use one of {', '.join(get_args(Norm))}")
    return norm  # type: ignore[return-value]  # narrowed by the test above


def check_threat(threat: str) -> Threat:
    """The threat itself, if it is one.

    Raises:
        UsageError: it is not.
    """
    if threat not in get_args(Threat):
        raise UsageError(f"unknown threat {threat!r}; use one of {', '.join(get_args(Threat))}")
    return threat  # type: ignore[return-value]  # narrowed by the test above


def distance(images: Tensor, clean: Tensor, norm: Norm, masks: Masks | None = None) -> Tensor:
    """Distances between rows, float64 [n], computed in float64; NaN where a row holds NaN.

    In l0 it is the number of pixels of which any channel is another number, by whatever little. With `masks`, which
    are those of the rows, it is the share of the image that a patch must cover.
    """
    if masks is not None:
        return masks.distance(images, clean)
    if norm == "l0":
        return _changed(images.detach(), clean.detach())
    delta = (images.detach().double() - clean.detach().double()).flatten(1)
    if norm == "linf":
        return delta.abs().amax(1)
    reach: Tensor = delta.norm(p=2 if norm == "l2" else 1, dim=1)
    return reach


def _changed(images: Tensor, clean: Tensor) -> Tensor:
    """How many pixels of each row changed, float64 [n]; NaN where a row holds NaN."""
    count: Tensor = (images != clean).any(1).flatten(1).sum(1).double()
    return count.masked_fill(images.isnan().flatten(1).any(1), float("nan"))


def radius(epsilon: float, norm: Norm) -> float:
    """The largest distance that counts as inside a ball of radius `epsilon`."""
    return epsilon + LINF_SLACK if norm == "linf" else epsilon * (1 + RELATIVE_SLACK) + LINF_SLACK


def inside_ball(distances: Tensor, epsilon: float, norm: Norm) -> Tensor:
    """Which distances, [n], are inside the ball; NaN never is."""
    return distances <= radius(epsilon, norm)


def inside_box(images: Tensor) -> Tensor:
    """Which rows are in [0,1] exactly, bool [n]; NaN never is."""
    flat = images.detach().flatten(1)
    return ((flat >= 0) & (flat <= 1)).all(1)
