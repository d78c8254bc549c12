"""What changes while a run goes on; it becomes part of run.json when that is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from harness.base.text import now
from harness.evidence.costs import Notes
from harness.evidence.plan_info import CellCost, ThrownAway
from harness.evidence.run_info import RunInfo, Status
from harness.trust.doctor import Report
from harness.types import Finding


@dataclass(kw_only=True)
class Session:
    """A run between two writes of its run.json."""

    described: RunInfo
    """What the run says of itself, without what this start has found so far."""
    findings: list[Finding] = field(default_factory=list)
    status: Status = "running"
    finished: str | None = None
    seconds: float = 0.0
    """Of all starts."""
    sessions: int = 0
    notes: Notes = field(default_factory=Notes)
    """What the finished units noticed."""
    compute: tuple[CellCost, ...] | None = None
    thrown_away: tuple[ThrownAway, ...] | None = None

    @classmethod
    def of(cls, described: RunInfo) -> Session:
        """A session that goes on from what the description has."""
        return cls(
            described=described,
            findings=list(described.findings),
            seconds=described.seconds,
            sessions=described.sessions,
        )

    def note(self, finding: Finding) -> bool:
        """Keep a finding; whether it is new."""
        new = finding not in self.findings
        if new:
            self.findings.append(finding)
        return new

    def end(self, seconds: float) -> None:
        """This start is over; `seconds` is the time of all starts."""
        self.seconds, self.finished = round(seconds, 3), now()

    @property
    def info(self) -> RunInfo:
        """The content of run.json as of now."""
        return msgspec.structs.replace(
            self.described,
            findings=tuple(self.findings),
            status=self.status,
            finished=self.finished,
            seconds=self.seconds,
            sessions=self.sessions,
            out_of_memory=self.notes.out_of_memory,
            unconfirmed=self.notes.unconfirmed,
            reused=self.notes.reused,
            compute=self.compute,
            thrown_away=self.thrown_away,
        )


@dataclass(frozen=True)
class Known:
    """What a run with fewer attacks knows for the one with more that follows it at once: its units count as fresh."""

    report: Report
    """The doctor's."""
    attacks: Sequence[str]
    """Whose units are taken over even with ``--fresh``."""
    notes: Sequence[Finding] = ()
    """Findings of the longer run."""
