"""A run whose budget ran out: what to say is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from harness.base.text import in_words
from harness.evidence import unfinished
from harness.evidence.facts import CLEAN
from harness.evidence.run_info import CellCost, RunInfo
from harness.evidence.store import RunStore, Unit
from harness.types import Finding


def missing(store: RunStore, info: RunInfo, units: Collection[Unit], there: Collection[Unit]) -> Finding:
    """What is missing, attack by attack, what is begun of it, and how much longer it would take by what was seen."""
    gone = Counter((unit.attack, unit.epsilon) for unit in units if unit not in there)
    total = Counter((unit.attack, unit.epsilon) for unit in units)
    parts = []
    for (attack, epsilon), count in total.items():
        if attack != CLEAN and (lost := gone[attack, epsilon]):
            some = "" if lost == count else f" ({lost} of {count} chunks)"
            parts.append(f"{attack} at {epsilon}{some}")
    seconds = _left(info.compute or (), gone)
    more = f"; about {in_words(seconds)} more by what was measured" if seconds is not None else ""
    shown = ", ".join(parts[:6]) + (f" and {len(parts) - 6} more" if len(parts) > 6 else "")
    begun = "".join(f"; {words}" for unit in units if unit not in there and (words := _begun(store, info, unit)))
    return Finding(
        "budget", "warn", f"the budget ran out; missing: {shown}{begun}{more}. The same command goes on from here"
    )


def _left(compute: Sequence[CellCost], missing: Mapping[tuple[str, str], int]) -> float | None:
    """Seconds that the missing units would take, as their likes took; None if an attack was never measured."""
    known = [(cost, cost.seconds) for cost in compute if cost.seconds is not None]
    left = 0.0
    for (attack, epsilon), count in missing.items():
        if attack == CLEAN:
            continue
        alike = [one for one in known if (one[0].attack, one[0].epsilon_label) == (attack, epsilon)]
        alike = alike or [one for one in known if one[0].attack == attack]
        if not alike:
            return None
        left += count * sum(seconds for _, seconds in alike) / sum(cost.units for cost, _ in alike)
    return left


def _begun(store: RunStore, info: RunInfo, unit: Unit) -> str:
    """What is finished of a unit that is not, in words; nothing if nothing is."""
    kept = unfinished.read(store.folder, unit.filename)
    if kept is None:
        return ""
    components = next(attack.components for attack in info.suite.attacks if attack.id == unit.attack)
    done = list(components[: len(kept["passes"])])
    if kept["attempt"] is not None:
        done.append(f"{kept['attempt']['next']} restarts")
    elif kept["begun"] is not None:
        done.append(f"{kept['group']} samples")
    return f"{' and '.join(done)} of {unit.attack} at {unit.epsilon}, chunk {unit.chunk}, are done" if done else ""
