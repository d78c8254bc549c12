"""What a unit cost: seconds, memory, and which gradients could have changed a result."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.base.files import write_atomically
from harness.types import Finding

FOLDER = "costs"
"""Where a run keeps them: one small file for each unit, written before its facts."""


@dataclass(frozen=True)
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


def take_notes(run: dict[str, Any], folder: Path, filenames: Iterable[str]) -> None:
    """Count into `run`, the content of run.json, what its finished units noticed, whichever start computed them."""
    costs = [cost for name in filenames if (cost := read_cost(folder, name)) is not None]
    for name in ("out_of_memory", "unconfirmed", "reused"):
        run[name] = sum(int(getattr(cost, name)) for cost in costs)
    known = run["findings"]
    for finding in (finding.as_dict() for cost in costs for finding in cost.findings):
        if finding not in known:
            known.append(finding)


def fold_costs(folder: Path, units: Iterable[tuple[str, str, str]]) -> list[dict[str, Any]]:
    """What each attack cost at each epsilon, as run.json spells it: ``compute``.

    Args:
        folder: The run's folder.
        units: File name, attack and epsilon label of every finished unit.

    Returns:
        One entry for each attack and epsilon; its numbers are None if the cost of one of its units is not known.
    """
    cells: dict[tuple[str, str], list[Cost | None]] = {}
    for filename, attack, label in units:
        cells.setdefault((attack, label), []).append(read_cost(folder, filename))
    found = []
    for (attack, label), costs in cells.items():
        known = [cost for cost in costs if cost is not None]
        complete = len(known) == len(costs)
        entry: dict[str, Any] = {"attack": attack, "epsilon_label": label, "units": len(costs)}
        entry["seconds"] = round(sum(cost.seconds for cost in known), 3) if complete else None
        entry["peak_memory"] = max(cost.peak_memory for cost in known) if complete else None
        useful = [cost.useful for cost in known if cost.useful is not None]
        entry["useful"] = sum(useful) if complete and len(useful) == len(costs) else None
        for name in ("backwards", "unconfirmed", "again"):
            entry[name] = sum(getattr(cost, name) for cost in known) if complete else None
        found.append(entry)
    return found


def of_cell(run: Mapping[str, Any], attack: str, label: str) -> dict[str, Any]:
    """The ledger's part of a summary's cell, from ``compute`` of run.json; nothing for runs that have none.

    ``useful_gradients`` is a share of all backward passes, None where there were none or they were not judged.
    """
    entries: Sequence[Mapping[str, Any]] = run.get("compute", ())
    for entry in entries:
        if (entry["attack"], entry["epsilon_label"]) == (attack, label):
            useful, backwards = entry["useful"], entry["backwards"]
            share = None if useful is None or not backwards else useful / backwards
            told = {name: entry[name] for name in ("seconds", "peak_memory", "unconfirmed", "again")}
            return {**told, "useful_gradients": share}
    return {}
