"""Requirements as people write them: floors, grades, and no regression."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from harness.base.threat import parse_epsilon
from harness.errors import BadEpsilon, UsageError
from leaderboard.rows import CLEAN

_EXAMPLES = (
    "write for instance clean>=0.95, pgd-20@8/255>=0.45, worst@4/255>=0.6, mean@3>=0.5, grade>=B or"
    " no-regression:results/old"
)
_FLOOR = re.compile(r"^\s*(?:(?P<clean>clean)|(?P<attack>\S+)@(?P<epsilon>[^@\s]+?))\s*>=\s*(?P<share>\S+)\s*$")


_GRADE = re.compile(r"^\s*grade\s*>=\s*(?P<grade>\S+)\s*$")
GRADES = "ABCD"


@dataclass(frozen=True)
class Floor:
    """``pgd-20@8/255>=0.45``: an accuracy that must be reached."""

    text: str
    attack: str
    epsilon: float
    share: float
    covered: bool = False
    """Whether epsilon is a share of the image that a patch covers."""


@dataclass(frozen=True)
class NoRegression:
    """``no-regression:DIR``: nothing may be significantly worse than in the runs of DIR."""

    text: str
    folder: Path


@dataclass(frozen=True)
class Grade:
    """``grade>=B``: how far the diagnosis trusts the run, at least."""

    text: str
    grade: str


Requirement = Floor | Grade | NoRegression


def parse(text: str) -> Requirement:
    """One ``--require``.

    Raises:
        UsageError: it is not a requirement.
        BadEpsilon: its epsilon is not one.
    """
    if match := _GRADE.match(text):
        if match["grade"] not in GRADES:
            raise UsageError(f"requirement {text!r}: {match['grade']!r} is no grade from {GRADES[0]} to {GRADES[-1]}")
        return Grade(text.strip(), match["grade"])
    if text.strip().startswith("no-regression:"):
        folder = text.strip().removeprefix("no-regression:")
        if not folder:
            raise UsageError(f"requirement {text!r} names no folder; {_EXAMPLES}")
        return NoRegression(text.strip(), Path(folder))
    match = _FLOOR.match(text)
    if not match:
        raise UsageError(f"requirement {text!r} cannot be read; {_EXAMPLES}")
    try:
        share = float(match["share"])
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise UsageError(f"requirement {text!r}: {match['share']!r} is not a share from 0 to 1; {_EXAMPLES}")
    if match["attack"] == CLEAN:
        raise UsageError(f"requirement {text!r}: clean accuracy has no epsilon; write clean>={match['share']}")
    if match["clean"]:
        return Floor(text.strip(), CLEAN, 0.0, share)
    try:
        # Norms differ by run; l2 takes every number, and one that was never measured is refused later.
        covered = match["epsilon"].endswith("%")
        epsilon = parse_epsilon(match["epsilon"], "l2", "patch" if covered else "ball")
    except BadEpsilon as error:
        raise BadEpsilon(f"requirement {text!r}: {error}") from None
    return Floor(text.strip(), match["attack"], epsilon.value, share, covered)
