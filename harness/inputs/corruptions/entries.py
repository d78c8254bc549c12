"""What a suite file says of corruptions: kinds in place of attacks, severities in place of epsilons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.base.threat import Epsilon, parse_severities
from harness.errors import BadEpsilon, BadSuite
from harness.inputs.registry import Registry
from harness.types import AttackSpec

TOOL = "corruption"
"""What stands for the tool of every kind."""
REQUIRED = ("name", "version", "threat", "kinds", "severities")
KEYS = (*REQUIRED, "chunk", "description")


def read_entries(
    raw: Mapping[str, Any], fail: Callable[[str, str], BadSuite]
) -> tuple[tuple[Epsilon, ...], tuple[AttackSpec, ...]]:
    """Grid and entries of a suite of corruptions.

    Args:
        raw: The file's content; `REQUIRED` keys are there and of the right type.
        fail: Makes an error of a message and a key.

    Raises:
        BadSuite: a key that says nothing of corruptions, no such severity, or kinds that nobody registers.
    """
    if other := [key for key in raw if key not in KEYS]:
        raise fail(f"{other[0]} says nothing of corruptions; leave it out", other[0])
    try:
        grid = parse_severities(raw["severities"])
    except BadEpsilon as error:
        raise fail(str(error), "severities") from None
    kinds, known = [str(kind) for kind in raw["kinds"]], Registry("corruptions").names()
    if not kinds or len(set(kinds)) < len(kinds):
        raise fail("kinds must name at least one kind, and each once", "kinds")
    if unknown := [kind for kind in kinds if kind not in known]:
        raise fail(f"unknown kind {unknown[0]!r:.80}; known: {', '.join(known)}", "kinds")
    return grid, tuple(AttackSpec(kind, TOOL, kind) for kind in kinds)
