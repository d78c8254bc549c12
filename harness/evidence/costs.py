"""What a unit cost: seconds, memory, and which gradients could have changed a result."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from harness.base.files import write_atomically
from harness.evidence.plan_info import CellCost, ThrownAway
from harness.evidence.run_info import RunInfo
from harness.types import Finding

FOLDER = "costs"
"""Where a run keeps them: one small file for each unit, written before its facts."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one unit, on the worker that computed it."""

    seconds: float
    peak_memory: int
    """Bytes: of the device on a GPU, else of the whole process."""
    backwards: int
    """Backward passes of single samples."""
    useful: int | None
    """Backward passes of samples that had no safe witness yet, with a gradient that was finite and not zero; None where
    queries are not judged (faithful mode)."""
    unconfirmed: int
    """Proposals of the tool's queries that the reference did not confirm."""
    again: int
    """Samples that were attacked again through the reference for that."""
    out_of_memory: int = 0
    """How often the batch was halved."""
    reused: bool = False
    """Whether the unit was taken over from another run."""
    findings: tuple[Finding, ...] = ()
    """What was noticed while the unit ran; kept here, so that it is not lost with the process."""


def write_cost(folder: Path, filename: str, cost: Cost) -> None:
    """Keep the cost of the unit whose shards are called `filename` in the run `folder`.

    Raises:
        BadRun: it cannot be written.
    """
    path = folder / FOLDER / f"{filename.removesuffix('.parquet')}.json"
    write_atomically(path, lambda beside: beside.write_text(json.dumps(asdict(cost)) + "\n", encoding="utf-8"))


def read_cost(folder: Path, filename: str) -> Cost | None:
    """The cost of a unit; None if it is not known."""
    path = folder / FOLDER / f"{filename.removesuffix('.parquet')}.json"
    try:
        return read_note(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def read_note(content: Any) -> Cost:
    """A cost from its JSON.

    Raises:
        TypeError: it is none.
    """
    findings = tuple(Finding(**told) for told in dict(content).pop("findings", ()))
    return Cost(**{**content, "findings": findings})


@dataclass(frozen=True)
class Notes:
    """What the finished units of a run noticed, whichever start computed them."""

    out_of_memory: int = 0
    unconfirmed: int = 0
    reused: int = 0
    findings: tuple[Finding, ...] = ()


def notes_of(folder: Path, filenames: Iterable[str]) -> Notes:
    """The sum over the units of the run `folder` whose shards have these names."""
    costs = [cost for name in filenames if (cost := read_cost(folder, name)) is not None]
    return Notes(
        sum(cost.out_of_memory for cost in costs),
        sum(cost.unconfirmed for cost in costs),
        sum(cost.reused for cost in costs),
        tuple(finding for cost in costs for finding in cost.findings),
    )


def fold_costs(folder: Path, units: Iterable[tuple[str, str, str]]) -> tuple[CellCost, ...]:
    """What each attack cost at each epsilon, as run.json has it: ``compute``.

    Args:
        folder: The run's folder.
        units: File name, attack and epsilon label of every finished unit.

    Returns:
        One entry for each attack and epsilon; its numbers are None if the cost of one of its units is not known.
    """
    cells: dict[tuple[str, str], list[Cost | None]] = {}
    for filename, attack, label in units:
        cells.setdefault((attack, label), []).append(read_cost(folder, filename))
    return tuple(_folded(attack, label, costs) for (attack, label), costs in cells.items())


def _folded(attack: str, label: str, costs: Sequence[Cost | None]) -> CellCost:
    known = [cost for cost in costs if cost is not None]
    complete = len(known) == len(costs)
    useful = [cost.useful for cost in known if cost.useful is not None]
    return CellCost(
        attack=attack,
        epsilon_label=label,
        units=len(costs),
        seconds=round(sum(cost.seconds for cost in known), 3) if complete else None,
        peak_memory=max(cost.peak_memory for cost in known) if complete else None,
        useful=sum(useful) if complete and len(useful) == len(costs) else None,
        backwards=sum(cost.backwards for cost in known) if complete else None,
        unconfirmed=sum(cost.unconfirmed for cost in known) if complete else None,
        again=sum(cost.again for cost in known) if complete else None,
    )


def add_up(thrown_away: Iterable[ThrownAway]) -> tuple[ThrownAway, ...] | None:
    """What was thrown away, one entry for each attack, epsilon and component, as run.json has it; None if nothing."""
    sums: dict[tuple[str, str, str | None], ThrownAway] = {}
    for one in thrown_away:
        place = one.attack, one.epsilon_label, one.component
        before = sums.get(place)
        times, seconds = (before.times, before.seconds) if before is not None else (0, 0.0)
        more = {"times": times + one.times, "seconds": round(seconds + one.seconds, 3)}
        sums[place] = msgspec.structs.replace(one, **more)
    return tuple(sums.values()) or None


def of_cell(info: RunInfo, attack: str, label: str) -> dict[str, Any]:
    """The ledger's part of a summary's cell, from ``compute`` of run.json; nothing for runs that have none.

    ``useful_gradients`` is a share of all backward passes, None where there were none or they were not judged.
    """
    for cost in info.compute or ():
        if (cost.attack, cost.epsilon_label) == (attack, label):
            share = None if cost.useful is None or not cost.backwards else cost.useful / cost.backwards
            return {
                "seconds": cost.seconds,
                "peak_memory": cost.peak_memory,
                "unconfirmed": cost.unconfirmed,
                "again": cost.again,
                "useful_gradients": share,
            }
    return {}
