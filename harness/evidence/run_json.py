"""run.json and plan.json are read here: what is no run is refused in one line that names the place.

Fields that a newer version adds are passed over.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import msgspec

from harness.base.threat import parse_levels
from harness.base.votes import checked
from harness.errors import BadRun, HarnessError
from harness.evidence.facts import CLEAN
from harness.evidence.plan_info import Plan
from harness.evidence.run_info import RunInfo
from harness.evidence.structs import as_json, in_words


def parse(content: Any, where: object = "run.json") -> RunInfo:
    """A run from the content of its run.json.

    Args:
        content: Of the file, as JSON gives it.
        where: What the error calls the file.

    Raises:
        BadRun: a field is missing, is of another type, or contradicts another one; names its place and value.
    """
    try:
        info = msgspec.convert(content, RunInfo)
        wrong = contradiction(info)
    except msgspec.ValidationError as error:
        wrong = in_words(str(error), content)
    if wrong:
        raise BadRun(f"{where}: {wrong}; it was altered or is of another version")
    return info


def parse_plan(content: Mapping[str, Any], where: object = "plan.json") -> Plan:
    """The plan of a plan.json; raises as `parse`."""
    try:
        return msgspec.convert(content.get("plan"), Plan)
    except msgspec.ValidationError as error:
        raise BadRun(f"{where}: {in_words(str(error), content.get('plan'))}; it was altered") from None


def contradiction(info: RunInfo) -> str:
    """The first thing in which a run of the right form contradicts itself, in words, or nothing."""
    suite = info.suite
    ids = [attack.id for attack in suite.attacks]
    try:
        json.dumps(as_json(info), allow_nan=False)
        labeled = [parse_levels([label], suite.norm, suite.threat)[0].value for label in suite.labels]
    except (HarnessError, TypeError, ValueError, RecursionError) as error:
        return f"a value is not possible ({error})"
    # Older versions rounded labels of decimals to six digits.
    fits = len(labeled) == len(suite.epsilons) and all(
        math.isclose(a, b, rel_tol=1e-5) for a, b in zip(labeled, suite.epsilons, strict=True)
    )
    if not fits or not suite.epsilons or any(a >= b for a, b in pairwise(suite.epsilons)):
        return f"suite.grid {suite.labels!r:.80} and suite.epsilons {suite.epsilons!r:.80} do not fit together"
    if info.randomness is not None:
        try:
            checked(info.randomness.draws, info.randomness.rule, "randomness.draws")
        except HarnessError as error:
            return str(error)
    if (suite.other_place == "boxes") != (info.data.boxes is not None) or (
        suite.other_place and suite.threat != "patch"
    ):
        return f"suite.place {suite.other_place!r}, suite.threat {suite.threat!r} and data.boxes do not fit together"
    if not ids or len(set(ids)) != len(ids) or CLEAN in ids:
        return f"suite.attacks are {ids!r:.80}, expected different names"
    return _prefixes(info)


def _prefixes(info: RunInfo) -> str:
    """What contradicts itself in the attacks' n and chunks, in words, or nothing."""
    drawn = [info.samples_of(attack) for attack in info.suite.attacks]
    if drawn[0] != info.data.n or any(a < b for a, b in pairwise(drawn)):
        return f"suite.attacks have n {drawn!r:.80}, which must begin with data.n {info.data.n} and not grow"
    dear = {attack.id: attack.n for attack in info.suite.attacks if attack.n is not None}
    for name, count in (info.reached or {}).items():
        if info.suite.until is None or count < dear.get(name, count + 1):
            return f"reached has {count} for {name!r:.80}, which no stopping rule gives"
    for attack, count in zip(info.suite.attacks, drawn, strict=True):
        size = attack.chunk or info.suite.chunk
        if info.suite.chunk % size or (count % size and count != info.data.n):
            return f"attack {attack.id!r:.80} has chunk {size} and n {count}, suite.chunk is {info.suite.chunk}"
    return ""
