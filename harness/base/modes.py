"""The table of modes: how attacks are run and judged. Measuring, verifying and reporting read the same five rows.

A sixth mode is one more row, and one more name in `harness.types.Mode`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol

from harness.types import Kind


class Described(Protocol):
    """What an attack and its description in run.json have in common."""

    @property
    def kind(self) -> Kind:
        """What the attack looks for."""

    @property
    def iterative(self) -> bool:
        """Whether a witness at a smaller epsilon may be inherited."""


@dataclass(frozen=True, kw_only=True)
class Mode:
    """One row."""

    judges: Literal["queries", "returned"]
    """What counts as a witness: every query of the tool, or only what it returns."""
    freezes: bool
    """Whether samples with a witness leave the attack's batch."""
    inherits: Literal["iterative", "all", "never"]
    """Whose witnesses at a smaller epsilon count at the larger ones."""
    shares: bool
    """Whether an attack is spared the samples that an earlier attack of the suite broke."""
    halves: bool
    """Whether the grid is halved for each sample instead of climbed."""
    copies: bool
    """Whether a prepared copy of the model may propose."""
    words: str
    """For readers of results."""

    def inherits_of(self, attack: Described) -> bool:
        """Whether a witness of `attack` at a smaller epsilon counts at the larger ones."""
        if runs_once(attack) or self.inherits == "never":
            return False
        return attack.iterative or self.inherits == "all"

    @property
    def may_share(self) -> bool:
        """Whether an attack may come `after` others: only where broken samples leave, and epsilons keep their order."""
        return self.freezes and not self.halves

    def shares_of(self, after: str | None) -> bool:
        """Whether an attack is spared what earlier ones broke: in this mode each is, in others if it comes `after`."""
        return self.shares or after is not None

    def halves_of(self, attack: Described) -> bool:
        """Whether `attack` is not run on samples that survived it at a larger epsilon."""
        return self.halves and attack.iterative and not runs_once(attack)


MODES: Mapping[str, Mode] = MappingProxyType(
    {
        "observed": Mode(
            judges="queries", freezes=True, inherits="iterative", shares=False, halves=False, copies=True,
            words="every query of the tool is judged, and samples with a witness leave the attack",
        ),
        "watch": Mode(
            judges="queries", freezes=False, inherits="iterative", shares=False, halves=False, copies=False,
            words="every query of the tool is judged, nothing leaves the attack",
        ),
        "faithful": Mode(
            judges="returned", freezes=False, inherits="never", shares=False, halves=False, copies=False,
            words="only what the tool returns is judged, every attack on all samples: the tool's own numbers",
        ),
        "worst-case": Mode(
            judges="queries", freezes=True, inherits="all", shares=True, halves=False, copies=True,
            words="as observed, but no attack runs on what another one broke: only the worst case is a result, an"
            " attack's cell is the union of it and those before it",
        ),
        "bisection": Mode(
            judges="queries", freezes=True, inherits="iterative", shares=False, halves=True, copies=True,
            words="as observed, but the grid is halved for each sample: who survives an epsilon is not attacked at"
            " smaller ones",
        ),
    }
)  # fmt: skip


def runs_once(attack: Described) -> bool:
    """Whether one run of the attack serves the whole grid: it looks for the nearest witness, or decides by queries."""
    return attack.kind in ("minimum", "decision")


def fixed_ball(attack: Described) -> bool:
    """Whether the attack looks for any witness inside the ball, rather than for the nearest."""
    return not runs_once(attack)


def takes(attack: Described, targeted: bool) -> bool:
    """Whether another attack's witness settles a sample for this one: not if a target is looked for.

    An attack that runs once for the whole grid is spared what broke at the smallest epsilon alone.
    """
    return attack.kind != "targeted" and not targeted
