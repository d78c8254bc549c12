"""The rule of ``--until``: dear attacks go on, chunk by chunk, until every estimate is narrow enough. Runs nothing.

The rule is part of the run's key, and what it came to is in run.json (`reached`). It looks at the interval after each
round and nothing else, so whoever has the facts can go through it again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from harness.base.statistics import wilson
from harness.evidence.facts import CLEAN
from harness.evidence.metrics import WorstCase, worst_case
from harness.evidence.run_info import RunInfo

REACHED, OUT_OF_REACH, ENDED, MISSING = "reached", "out of reach", "the samples ended", "cells are missing"


def begin(info: RunInfo) -> dict[str, int]:
    """By attack, on how many samples it runs in the first round."""
    return {attack.id: info.data.n if attack.n is None else attack.n for attack in info.suite.attacks}


def grow(info: RunInfo, counts: dict[str, int]) -> dict[str, int]:
    """The next round: each attack that has an n takes one more chunk, if the slice and the attack before it have it."""
    found: dict[str, int] = {}
    most = info.data.n
    for attack in info.suite.attacks:
        count = counts[attack.id]
        if attack.n is not None and count < most:
            size = attack.chunk or info.suite.chunk
            wanted = min(count + size, most)
            count = wanted if wanted == info.data.n else max(count, wanted - wanted % size)
        most = found[attack.id] = count
    return found


def widest(rows: Sequence[WorstCase]) -> float:
    """The largest half-width of the estimates, as they are and as they are shown; infinite where one is missing."""
    widths = []
    for row in rows:
        if row.ci95 is None:
            return float("inf")
        widths += [(row.ci95[1] - row.ci95[0]) / 2, row.joined().half_width]
    return max(widths, default=float("inf"))


def least(rows: Sequence[WorstCase]) -> float:
    """The half-width that is surely left at the widest epsilon, even if every attack ran on the whole slice."""
    return max((bound_of(row.ci95, row.n) for row in rows if row.ci95 is not None), default=0.0)


def bound_of(interval: tuple[float, float], n: int) -> float:
    """The least half-width that Wilson's interval on `n` samples has for a share within `interval`.

    At the estimate itself it would not do: runs whose estimate is too near to 1/2 by chance would stop for that, and
    the intervals they stop with cover the truth less often.
    """
    far = max(interval, key=lambda share: abs(share - 0.5))
    low, high = wilson(round(far * n), n)
    return (high - low) / 2


def state(info: RunInfo, rows: Sequence[WorstCase], counts: dict[str, int]) -> str:
    """Why no further round follows; nothing if one does.

    Args:
        info: The run.
        rows: The worst case with `counts`.
        counts: Of the last round.
    """
    assert info.suite.until is not None
    if widest(rows) <= info.suite.until:
        return REACHED
    if grow(info, counts) == counts:
        return ENDED
    # Asked once: asked after every round, it would select the runs whose interval drifts off the truth.
    return OUT_OF_REACH if counts == begin(info) and least(rows) > info.suite.until else ""


def stop(info: RunInfo, facts: pa.Table, order: NDArray[np.int64]) -> dict[str, int] | None:
    """Where the rule ends by the facts, or None if it goes on beyond them.

    Args:
        info: The run.
        facts: All its facts.
        order: The slice's sample ids in its fixed order.
    """
    counts = begin(info)
    while True:
        here = only(facts, counts, order)
        if any(
            len(pc.unique(here.filter(pc.equal(here["attack"], name))["sample_id"])) < counts[name] for name in counts
        ):
            return None
        rows = worst_case(here, info.data.n, drawn=counts, adapted=info.suite.adapted)
        if not all(row.complete for row in rows) or state(info, rows, counts):
            return counts
        counts = grow(info, counts)


def only(facts: pa.Table, counts: dict[str, int], order: NDArray[np.int64]) -> pa.Table:
    """The facts of the samples that a round with these counts has."""
    places = dict(zip(order.tolist(), range(len(order)), strict=True))
    at = [places.get(i, len(order)) for i in facts["sample_id"].to_pylist()]
    limits = {**counts, CLEAN: len(order)}
    keep = [place < limits.get(name, 0) for place, name in zip(at, facts["attack"].to_pylist(), strict=True)]
    return facts.filter(pa.array(keep, pa.bool_()))


def words(info: RunInfo, rows: Sequence[WorstCase], facts: pa.Table, counts: dict[str, int], why: str) -> str:
    """What came of the rule, and what the attacks that went on cost."""
    dear = [attack.id for attack in info.suite.attacks if attack.n is not None]
    ran = ", ".join(f"{name} on {counts[name]:,} of {info.data.n:,} samples" for name in dear)
    mine = facts.filter(pc.is_in(facts["attack"], pa.array(dear)))
    whole = mine.filter(pc.is_null(mine["component"]))
    forwards, backwards = (int(pc.sum(whole[name]).as_py() or 0) for name in ("forwards", "backwards"))
    asked, width = 100 * (info.suite.until or 0.0), 100 * widest(rows)
    cost = f"{ran}, for {forwards:,} forwards and {backwards:,} backwards"
    if why == REACHED:
        return f"every half-width is at most {asked:g} points ({width:.2f}) with {cost}"
    if why == OUT_OF_REACH:
        limit = f"all {info.data.n:,} samples would leave at least {100 * least(rows):.2f}: measure more of them"
        return f"half-widths of {asked:g} points are out of reach, {limit}; they are up to {width:.2f} with {cost}"
    known = f", they are up to {width:.2f}" if width < float("inf") else ""
    return f"half-widths of {asked:g} points were not reached{known}, because {why}: {cost}"
