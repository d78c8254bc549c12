"""A run whose budget ran out: what to say is missing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from harness.base.text import in_words
from harness.evidence import unfinished
from harness.evidence.facts import CLEAN
from harness.evidence.plan_info import CellCost
from harness.evidence.run_info import RunInfo
from harness.evidence.store import RunStore, Unit
from harness.measure.done import GivenUp
from harness.types import Finding

LEAVING = 0.1
"""What writing, showing and leaving takes, as a share of what importing and loading took: both grow with the load."""
ROOM = 1.25
"""How much longer than by what was seen a call may take within the budget that is advised for it."""


@dataclass(frozen=True)
class Around:
    """Seconds of a start in which nothing is attacked."""

    before: float
    """From where the budget counts until the first unit could begin."""
    after: float
    """From the last unit to the end, by what the like took at the start; attacks leave it alone."""


def missing(
    store: RunStore,
    info: RunInfo,
    units: Collection[Unit],
    there: Collection[Unit],
    around: Around,
    given_up: Sequence[GivenUp],
) -> Finding:
    """What is missing, attack by attack, what is begun of it, and how much longer it would take by what was seen.

    Args:
        store: The run.
        info: Its run.json so far.
        units: All of it.
        there: Those on disk.
        around: What this start took beside the attacks.
        given_up: What this start threw away.
    """
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
    ran = "the budget ran out"
    if not given_up and not begun and all(unit.attack == CLEAN for unit in there):
        ran = (
            "the budget is too small for anything but loading and the clean pass:"
            f" {around.before:.1f} s were gone before them, and {around.after:.1f} s are for the end"
        )
    advice = "".join(_advice(one, around) for one in given_up[:1])
    message = f"{ran}; missing: {shown}{begun}{more}. The same command goes on from here{advice}"
    return Finding("budget", "warn", message)


def _advice(cut: GivenUp, around: Around) -> str:
    """Which budget the call that was cut off would fit into."""
    what = cut.what or f"a call of {cut.unit.attack}"
    if cut.whole is None:
        return f", with more time: {what} was not done after {cut.seconds:.0f} s, of which nothing can be kept"
    needed = around.before + ROOM * cut.whole + around.after
    took = f"{what} takes about {in_words(cut.whole)}, of which nothing can be kept before it is done"
    return f", with a budget of {_rounded(needed)} or more: {took}"


def _rounded(seconds: float) -> str:
    """A budget as one types it, rounded up."""
    return f"{math.ceil(seconds / 10) * 10}s" if seconds < 300 else f"{math.ceil(seconds / 60)}m"


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
