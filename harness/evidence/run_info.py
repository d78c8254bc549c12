"""run.json as types: what a run says of itself, and its key; the JSON Schema is made of them.

A file is read by `harness.evidence.run_json.parse` and written as `harness.evidence.structs.as_json` has it.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from harness.base.files import key_of
from harness.base.votes import AVERAGED, LEVEL
from harness.errors import BadRun
from harness.evidence.given import Given
from harness.evidence.plan_info import Calibration, CellCost, Device, Plan, Preflight, ThrownAway
from harness.evidence.structs import Count, Key, Positive, Seconds, as_json
from harness.evidence.suite_info import AttackInfo, SuiteInfo
from harness.types import Finding, Mode, Rule

SCHEMA_VERSION: Literal[1] = 1
"""Of run.json and plan.json, and of a summary.json without estimates."""
ESTIMATES_SCHEMA = 2
"""Of a summary.json whose worst case is an estimate."""

Evidence = Literal["all", "worst", "none"]
AskedPrecision = Literal["auto", "exact", "float32", "tf32", "bf16"]
AskedCompile = Literal["auto", "on", "off"]
Status = Literal["running", "complete", "interrupted"]


class ModelInfo(Struct, frozen=True, kw_only=True):
    """The checkpoint."""

    name: str
    """Name in the zoo, or the one that was given."""
    sha256: str
    """Hash of the weights."""
    code: str | None = None
    """Hash of the model's code, where neither a card nor a package version names it."""


class IdsInfo(Struct, frozen=True, kw_only=True):
    """A set of samples that was given by their ids."""

    name: str
    """What it is called: the name of its file."""
    sha256: str
    """Hash of the ascending ids."""


class DataInfo(Struct, frozen=True, kw_only=True):
    """The samples."""

    name: str
    """Name of the data set, with the split where there is more than one."""
    slice: str
    """Hash over ids, pixels and labels."""
    n: Positive
    """How many."""
    ids: IdsInfo | None = None
    """The set of ids, where they are not the first n of the data set's order."""
    boxes: str | None = None
    """Hash of the samples' boxes, where patches lie by them."""


class Asked(Struct, frozen=True, kw_only=True):
    """What of the plan was asked for."""

    device: str
    """Type of device."""
    batch_size: int | str
    """A number, or ``auto``."""
    precision: AskedPrecision | None = None
    """Of the attacked copy; ``exact`` forbids one."""
    compile: AskedCompile | None = None
    """Whether the copy is compiled."""


class Randomness(Struct, frozen=True, kw_only=True):
    """How a randomized model's answer is taken."""

    draws: Positive
    """Of an answer, and at most of a candidate."""
    rule: Rule = "majority"
    """What makes a vote: each draw, or the mean logits of 10."""
    level: Annotated[float, Meta(gt=0, le=LEVEL)] = LEVEL
    """Probability of a false witness, of a sample under an attack at an epsilon."""

    @property
    def words(self) -> str:
        """``majority of 100 draws``."""
        each = AVERAGED[self.rule]
        votes = f"{self.draws:,} draws" if each == 1 else f"{self.draws // each:,} means of {each} draws"
        return f"majority of {votes}"


class RunInfo(Struct, frozen=True, kw_only=True):
    """The content of run.json."""

    schema: Literal[1] = SCHEMA_VERSION
    """Version of this form."""
    facts_schema: Count
    """Version of the facts' form."""
    model: ModelInfo
    """The checkpoint."""
    suite: SuiteInfo
    """The attacks and the grid."""
    data: DataInfo
    """The samples."""
    mode: Mode
    """How attacks are run and judged."""
    seed: int
    """Of all draws."""
    asked: Asked
    """What of the plan was asked for."""
    randomness: Randomness | None = None
    """How a randomized model's answer is taken; absent where one forward decides."""
    threads: Count
    """BLAS threads on the CPU, 0 elsewhere."""
    key: Key
    """sha256 over everything above, which determines the numbers."""
    run: str
    """Where the run's folder was made."""
    run_name: str
    """The folder's name: model, suite and the first 12 digits of the key."""
    subject: str | None = None
    """Hash of the model's tensors alone; older runs have none."""
    given: Given | None = None
    """How model, suite and data were given."""
    plugins: dict[str, str] | None = None
    """Packages of others that gave the model, the data, the suite or an attack, with their versions."""
    witnesses: Evidence
    """Which are kept."""
    device: Device
    """Of the first start."""
    card: dict[str, Any] | None
    """What the model's card says; null without one."""
    classes: tuple[str, ...] | None = None
    """Names of the classes, by label."""
    versions: dict[str, str]
    """Of the first start, by package."""
    git: dict[str, Any] | None
    """Commit of the harness's checkout, and whether it was changed; null outside one."""
    findings: tuple[Finding, ...]
    """What the doctor and the run noticed."""
    status: Status
    """Whether the run is complete."""
    started: str
    """First start, ISO 8601 in UTC."""
    finished: str | None
    """End of the last start; null before it."""
    seconds: Seconds
    """All starts together."""
    sessions: Count
    """How many starts."""
    out_of_memory: Count
    """How often a batch was halved."""
    unconfirmed: Count
    """Proposals of a fast copy that the reference did not confirm."""
    reused: Count = 0
    """Units taken over from other runs."""
    unit_timeout: Annotated[float, Meta(gt=0)] | UnsetType | None = UNSET
    """Seconds after which a unit is given up; null never."""
    preflight: Preflight | None = None
    """The doctor's look at the model."""
    plan: Plan | None = None
    """How the run is computed."""
    calibration: Calibration | None = None
    """Which measurements chose the plan."""
    compute: tuple[CellCost, ...] | None = None
    """What each attack cost at each epsilon."""
    thrown_away: tuple[ThrownAway, ...] | None = None
    """What was cut off when the time was over; absent where nothing was."""
    reached: dict[str, Positive] | None = None
    """By attack with an n, on how many samples it ran when the stopping rule, or the time, ended the run."""

    @property
    def told_subject(self) -> str:
        """The subject; of runs that name the weights alone, their hash."""
        return self.subject or self.model.sha256

    @property
    def planned(self) -> Plan:
        """The plan of a run that has begun.

        Raises:
            BadRun: there is none.
        """
        if self.plan is None:
            raise BadRun("run.json: plan is missing; it was altered or is of another version")
        return self.plan

    def samples_of(self, attack: AttackInfo) -> int:
        """On how many samples of the slice an attack runs: the first so many of its order."""
        if attack.n is None:
            return self.data.n
        return (self.reached or {}).get(attack.id, attack.n)

    @property
    def drawn(self) -> dict[str, int]:
        """`samples_of` by attack, in the suite's order."""
        return {attack.id: self.samples_of(attack) for attack in self.suite.attacks}

    @property
    def estimated(self) -> bool:
        """Whether the worst case is an estimate: an attack did not run on all samples."""
        return any(self.samples_of(attack) < self.data.n for attack in self.suite.attacks)

    def determined(self) -> str:
        """The key that the run's own words give."""
        return key_of(determines(self.schema, self.facts_schema, self.model, self.suite, self.data, self.mode,
                                 self.seed, self.asked, self.threads, self.randomness))  # fmt: skip


def determines(
    schema: int, facts_schema: int, model: ModelInfo, suite: SuiteInfo, data: DataInfo, mode: Mode, seed: int,
    asked: Asked, threads: int, randomness: Randomness | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What determines a run's numbers, as the key is made of it."""
    often = {} if randomness is None else {"randomness": as_json(randomness)}
    return often | {
        "schema": schema, "facts_schema": facts_schema, "model": as_json(model), "suite": as_json(suite),
        "data": as_json(data), "mode": mode, "seed": seed, "asked": as_json(asked), "threads": threads,
    }  # fmt: skip


def run_name(model: str, suite: str, key: str) -> str:
    """A folder name a person can read: model, suite, and as much of the key as makes it unique."""
    words = [re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip("-.")[:40] or "x" for text in (model, suite)]
    return f"{'-'.join(words)}-{key[:12]}"
