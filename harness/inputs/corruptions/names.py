"""How a data set under corruptions is called: ``gtsrb+fog:3``. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SUFFIX = re.compile(r"(?P<base>.+)\+(?P<kind>[A-Za-z][A-Za-z0-9._-]*):(?P<severity>[0-9]+)", re.DOTALL)
Step = tuple[str, int]
"""Kind and severity."""


def parted_corruptions(text: str) -> tuple[str, tuple[Step, ...]]:
    """What ``--data`` was given as the data set itself and its corruptions, in order: ``signs+fog:3+jpeg:2``."""
    steps: list[Step] = []
    while match := _SUFFIX.fullmatch(text):
        text = match["base"]
        steps.insert(0, (match["kind"], int(match["severity"])))
    return text, tuple(steps)


def joined_corruptions(text: str, steps: Sequence[Step]) -> str:
    """The opposite of `parted_corruptions`."""
    return "".join([text, *(f"+{kind}:{severity}" for kind, severity in steps)])
