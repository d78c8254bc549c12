"""What the facts of corruptions add up to: means over kinds, on every image and of those that are read right clean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from harness.evidence.facts import CLEAN, KNOWN
from harness.evidence.run_info import RunInfo
from harness.evidence.suite_info import AttackInfo

MEAN = "mean"
"""Stands, in gates and tables, for the mean over kinds."""


def mean_interval(shares: NDArray[np.float64]) -> tuple[float, float]:
    """95 % interval of the mean of one share an image, [n]; over images, by the normal approximation.

    Where all images have the same share, it ends where Wilson's would for so many successes or failures.
    """
    n, mean = len(shares), float(shares.mean())
    variance = float(shares.var(ddof=1)) if n > 1 else 0.25
    # As Wilson's does of a count, it adds what z^2 further images, half of them right, would.
    z2 = 1.959963984540054**2
    middle = (n * mean + z2 / 2) / (n + z2)
    half = math.sqrt(z2) / (n + z2) * math.sqrt(n * variance + z2 / 4)
    return max(0.0, middle - half), min(1.0, middle + half)


def family(attack: AttackInfo) -> str:
    """The family of a kind, as its run says."""
    return str(next(iter(attack.resolved.values()), {}).get("family", ""))


def rights(facts: pa.Table, kinds: Sequence[str], label: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """Who is right at a severity, bool [kinds, n] by ascending id, and clean, bool [n]; None where some are missing."""
    clean = _by_id(facts, CLEAN, None)
    right = clean["outcome"].to_numpy(zero_copy_only=False) == "survived"
    found = []
    for kind in kinds:
        part = _by_id(facts, kind, label)
        outcomes = part["outcome"].to_numpy(zero_copy_only=False)
        if not part["sample_id"].equals(clean["sample_id"]) or not np.isin(outcomes, KNOWN).all() or not len(right):
            return None
        found.append(outcomes == "survived")
    return np.stack(found), right


def means(info: RunInfo, facts: pa.Table) -> list[dict[str, Any]]:
    """The mean over kinds at each severity, and by family, as ``summary.json`` has it; null where some are missing."""
    kinds = [attack.id for attack in info.suite.attacks]
    families = [family(attack) for attack in info.suite.attacks]
    rows = []
    for level in info.suite.grid:
        found = rights(facts, kinds, level.label)
        row: dict[str, Any] = {"severity": int(level.value)}
        if found is None:
            rows.append(row | {"accuracy": None, "ci95": None, "kept": None, "families": {}})
            continue
        every, clean = found
        shares = every.mean(0)
        of_family = {
            name: float(every[[one == name for one in families]].mean()) for name in dict.fromkeys(families) if name
        }
        kept = float(every[:, clean].mean()) if clean.any() else None
        row |= {"accuracy": float(shares.mean()), "ci95": list(mean_interval(shares)), "kept": kept}
        rows.append(row | {"families": of_family})
    return rows


def average(shares: Sequence[float | None]) -> float | None:
    """The mean of some shares; None where one of them is not known."""
    known = [share for share in shares if share is not None]
    return float(np.mean(known)) if known and len(known) == len(shares) else None


def _by_id(facts: pa.Table, attack: str, label: str | None) -> pa.Table:
    mask = pc.equal(facts["attack"], attack)
    if label is not None:
        mask = pc.and_(mask, pc.equal(facts["epsilon_label"], label))
    return facts.filter(mask).sort_by("sample_id")
