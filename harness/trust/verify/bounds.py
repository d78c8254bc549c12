"""What the witnesses that hold prove of each number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.base.modes import MODES, takes
from harness.evidence.facts import BROKEN
from harness.trust.verify.places import CountedRun
from harness.trust.verify.remeasure import Proof
from harness.trust.verify.verdict import Bound, Mask


def bounds(records: CountedRun, proof: Proof, counted: Mapping[str, Any]) -> list[Bound]:
    """What is proved of each attack at each epsilon, then of the worst case, up the grid.

    Args:
        records: The run's facts.
        proof: What holds here.
        counted: The summary counted from the facts.
    """
    everyone, found = np.ones(len(records.ids), bool), []
    cells = {(cell["attack"], cell["epsilon"]): cell["robust_accuracy"] for cell in counted["cells"]}
    cells |= {(None, worst["epsilon"]): worst["robust_accuracy"] for worst in counted["worst_case"]}
    nearest = np.minimum.reduce(list(proof.holds.values()))
    said = {name: _said(records, name) for name in proof.holds}
    anyone = np.minimum.reduce(list(said.values()))
    rows = [(name, _holds(records, proof, name), None) for name in proof.holds] + [(None, nearest, anyone)]
    for name, holds, worst in rows:
        for at, epsilon in enumerate(records.grid):
            broken = worst <= at if worst is not None else _broken(records, str(name), at)
            shown = proof.wrong | (holds <= at)
            mine = records.drawn[name] if name is not None else everyone
            found.append(
                Bound(
                    attack=name,
                    epsilon=epsilon.value,
                    epsilon_label=epsilon.label,
                    claimed=cells.get((name, epsilon.value)),
                    broken=int(broken.sum()),
                    proved=int((broken & (holds <= at)).sum()),
                    at_most=int((mine & ~shown).sum()) / max(1, int(mine.sum())),
                )
            )
    return found


def _holds(records: CountedRun, proof: Proof, attack: str) -> NDArray[np.int64]:
    """What holds of an attack; where it is spared what others broke, its cell is the union of it and those before."""
    names = [info.id for info in records.attacks]
    written = records.attacks[names.index(attack)]
    if not MODES[records.info.mode].shares_of(written.after):
        return proof.holds[attack]
    before = names[: names.index(attack)] if takes(written, written.targeted) else []
    shared: NDArray[np.int64] = np.minimum.reduce([proof.holds[name] for name in (*before, attack)])
    return shared


def _broken(records: CountedRun, attack: str, at: int) -> Mask:
    rows = records.rows.get((attack, None, at))
    return np.zeros(len(records.ids), bool) if rows is None else np.isin(rows["outcome"], BROKEN)


def _said(records: CountedRun, attack: str) -> NDArray[np.int64]:
    """Smallest grid position at which the facts call a sample broken, int [n]; the grid's length is none."""
    steps = np.stack([_broken(records, attack, at) for at in range(len(records.grid))])
    return np.where(steps.any(0), steps.argmax(0), len(records.grid))
