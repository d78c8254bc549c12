"""run.json as types: what a run says of itself. Reading, checking, writing, key and JSON Schema come from here.

A file is read with `parse`, which refuses what is no run in one line that names the place, and written with `as_json`.
Fields that a newer version adds are passed over.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from harness.base.files import key_of
from harness.base.threat import Epsilon, parse_levels
from harness.base.votes import AVERAGED, LEVEL, checked
from harness.errors import BadRun, HarnessError
from harness.evidence.facts import CLEAN
from harness.evidence.given import Given
from harness.types import Finding, Kind, Mode, Norm, Place, Rule, Threat

SCHEMA_VERSION: Literal[1] = 1
"""Of run.json and plan.json, and of a summary.json without estimates."""
ESTIMATES_SCHEMA = 2
"""Of a summary.json whose worst case is an estimate."""

Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(ge=0)]
Key = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
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


class AdaptationInfo(Struct, frozen=True, kw_only=True):
    """A change of what an attack differentiates."""

    text: str
    """As ``--adapt`` and suites spell it, ``NAME:ARGUMENT``."""
    weights: str | None = None
    """Hash of another model that proposes, where there is one."""
    code: str | None = None
    """Hash of the adaptation's code, where no package version names it."""


class AttackInfo(Struct, frozen=True, kw_only=True):
    """One attack of the suite, resolved."""

    id: str
    """Name in the suite and in the facts."""
    tool: str
    """Name of the tool, the part of the plugin's name before the dot."""
    tool_version: str | None
    """Version of the installed tool; null where it is not installed."""
    method: str
    """Name of the method, the part of the plugin's name behind the dot."""
    kind: Kind
    """What the attack looks for: any witness in the ball, the nearest, or a target class."""
    iterative: bool
    """Whether witnesses of smaller epsilons are inherited."""
    components: tuple[str, ...]
    """Parts of a cascade; empty for a plain attack."""
    params: dict[str, Any]
    """The parameters as the suite has them."""
    resolved: dict[str, dict[str, Any]]
    """By epsilon label, every parameter in numbers."""
    caveats: tuple[str, ...]
    """What a reader must know of this method of this tool."""
    code: str | None = None
    """Hash of the attack's code, where no package version names it."""
    individual: bool | None = None
    """Whether every component runs on all samples, where the plugin's class says so."""
    n: Positive | None = None
    """Runs on the first n samples of the slice's order only; absent where it runs on all."""
    chunk: Positive | None = None
    """Samples in a unit, where it is not the suite's chunk."""
    after: Literal["all"] | None = None
    """Attacks only what no earlier attack of the suite broke, at this or a smaller epsilon."""
    adapt: tuple[AdaptationInfo, ...] | None = None
    """What of the attacked copy of the model is changed, in this order; absent for attacks on the model as it is."""

    @property
    def adaptations(self) -> tuple[str, ...]:
        """The texts of `adapt`; empty for an attack on the model as it is."""
        return tuple(one.text for one in self.adapt or ())

    @property
    def targeted(self) -> bool:
        """Whether success is a target class."""
        return self.kind == "targeted" or "target" in self.params

    @property
    def universal(self) -> bool:
        """Whether one perturbation is made for all samples of a unit: fewer samples are then another attack."""
        return bool(self.params.get("universal"))

    @property
    def separate(self) -> bool:
        """Whether every component is run on all samples; a plugin may say so in its resolved parameters, too."""
        told = [self.params, *self.resolved.values()]
        return bool(self.individual) or any(bool(params.get("individual")) for params in told)


class SuiteInfo(Struct, frozen=True, kw_only=True):
    """The suite, resolved."""

    name: str
    """Name without the version."""
    version: Count
    """Of the suite."""
    label: str
    """``name@version``, or what a suite from the command line is called."""
    norm: Norm
    """Norm of the ball."""
    labels: tuple[str, ...] = msgspec.field(name="grid")
    """The epsilons as they are printed, ascending."""
    epsilons: tuple[float, ...]
    """The same epsilons as numbers, in input units."""
    chunk: Positive
    """Samples in a unit."""
    attacks: tuple[AttackInfo, ...]
    """In the order in which they run."""
    until: Annotated[float, Meta(gt=0)] | None = None
    """Stopping rule: attacks with an n go on until every estimate's half-width is at most this share."""
    edited: tuple[str, ...] | None = None
    """Attacks whose n was given with the command and is not the suite file's."""
    other_threat: Literal["corruption", "patch"] | None = msgspec.field(name="threat", default=None)
    """What may happen to an image; absent where it is a ball."""
    other_place: Literal["center", "boxes"] | None = msgspec.field(name="place", default=None)
    """Where patches lie; absent where that is drawn."""

    @property
    def adapted(self) -> tuple[str, ...]:
        """Ids of the adapted attacks."""
        return tuple(attack.id for attack in self.attacks if attack.adapt)

    @property
    def threat(self) -> Threat:
        """What may happen to an image."""
        return self.other_threat or "ball"

    @property
    def place(self) -> Place:
        """Where patches lie."""
        return self.other_place or "drawn"

    @property
    def ruler(self) -> str:
        """What distances are measured by, and tables say: the norm of the ball, or what else threatens."""
        if self.threat == "ball":
            return self.norm
        return self.threat if self.other_place is None else f"{self.threat} at {self.other_place}"

    @property
    def grid(self) -> tuple[Epsilon, ...]:
        """The epsilons, ascending."""
        return tuple(Epsilon(value, label) for value, label in zip(self.epsilons, self.labels, strict=True))


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


class Plan(Struct, frozen=True, kw_only=True):
    """How a run is computed: what the numbers depend on beside the key, up to rounding; resolved once and kept."""

    device: str
    """Type of device."""
    batch_size: Positive
    """Samples that go through the model together."""
    precision: Literal["float32", "tf32", "bf16"] = "float32"
    """Of the attacked copy."""
    threads: Count = 0
    """BLAS threads on the CPU; 0 on other devices, where they do not matter."""
    speedups: tuple[str, ...] = ()
    """What the attacked copy of the model is prepared by."""
    channels_last: bool = False
    """Whether the copy keeps its images with the channels last."""
    compiled: bool = False
    """Whether the copy is compiled."""


class Device(Struct, frozen=True, kw_only=True):
    """Where the first start computed."""

    name: str
    """As the machine calls it."""
    torch: str = ""
    """As torch calls it."""


class Preflight(Struct, frozen=True, kw_only=True):
    """The doctor's look at the model before the run."""

    n: Positive
    """On how many samples."""
    seconds: Seconds
    """How long it took."""
    forced: bool
    """Whether ``--force`` overruled a refusal."""


class Calibration(Struct, frozen=True, kw_only=True):
    """Which measurements chose the plan."""

    measured: dict[str, Seconds]
    """Input gradients a second, by what was tried."""
    unfit: tuple[str, ...]
    """Why copies were not made."""
    cached: bool
    """Whether an earlier run on this machine measured it."""
    cut: bool = False
    """Whether a budget left no time to try all."""


class CellCost(Struct, frozen=True, kw_only=True):
    """What one attack cost at one epsilon; null where the cost of a unit was lost."""

    attack: str
    """Its id."""
    epsilon_label: str
    """The epsilon; of an attack that runs once for all, the last."""
    units: Positive = 1
    """How many were finished."""
    seconds: Seconds | None
    """Sum over the units."""
    peak_memory: Count | None
    """Bytes; the largest of the units."""
    useful: Count | None
    """Backward passes that could change a result; null where they are not judged."""
    backwards: Count | None
    """Backward passes of single samples."""
    unconfirmed: Count | None
    """Proposals of a fast copy that the reference did not confirm."""
    again: Count | None
    """Samples that were attacked again for that."""


class ThrownAway(Struct, frozen=True, kw_only=True):
    """Work of one attack at one epsilon that was cut off when the time was over, and had to be begun again."""

    attack: str
    """Its id."""
    epsilon_label: str
    """The epsilon; of an attack that runs once for all, the last."""
    component: str | None
    """What of a cascade; null for a plain attack."""
    times: Positive
    """How often."""
    seconds: Seconds
    """All times together; ``compute`` does not have them."""


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


def as_json(value: Any) -> Any:
    """A type of this module as the file spells it; optional fields that have no value are left out."""
    if isinstance(value, Finding):
        return value.as_dict()
    if isinstance(value, Struct):
        given = {field.encode_name: (field, getattr(value, field.name)) for field in msgspec.structs.fields(value)}
        return {
            name: as_json(content)
            for name, (field, content) in given.items()
            if content is not UNSET and (content is not None or field.default is not None)
        }
    if isinstance(value, Mapping):
        return {name: as_json(content) for name, content in value.items()}
    return [as_json(one) for one in value] if isinstance(value, tuple | list) else value


def parse(content: Any, where: object = "run.json") -> RunInfo:
    """A run from the content of its run.json.

    Args:
        content: Of the file, as JSON gives it.
        where: What the error calls the file.

    Raises:
        BadRun: a field is missing, is of another type, or contradicts another one; names its place and value.
    """
    try:
        info = msgspec.convert(content, RunInfo)
        wrong = contradiction(info)
    except msgspec.ValidationError as error:
        wrong = _in_words(str(error), content)
    if wrong:
        raise BadRun(f"{where}: {wrong}; it was altered or is of another version")
    return info


def parse_plan(content: Mapping[str, Any], where: object = "plan.json") -> Plan:
    """The plan of a plan.json; raises as `parse`."""
    try:
        return msgspec.convert(content.get("plan"), Plan)
    except msgspec.ValidationError as error:
        raise BadRun(f"{where}: {_in_words(str(error), content.get('plan'))}; it was altered") from None


def contradiction(info: RunInfo) -> str:
    """The first thing in which a run of the right form contradicts itself, in words, or nothing."""
    suite = info.suite
    ids = [attack.id for attack in suite.attacks]
    try:
        json.dumps(as_json(info), allow_nan=False)
        labeled = [parse_levels([label], suite.norm, suite.threat)[0].value for label in suite.labels]
    except (HarnessError, TypeError, ValueError, RecursionError) as error:
        return f"a value is not possible ({error})"
    # Older versions rounded labels of decimals to six digits.
    fits = len(labeled) == len(suite.epsilons) and all(
        math.isclose(a, b, rel_tol=1e-5) for a, b in zip(labeled, suite.epsilons, strict=True)
    )
    if not fits or not suite.epsilons or any(a >= b for a, b in pairwise(suite.epsilons)):
        return f"suite.grid {suite.labels!r:.80} and suite.epsilons {suite.epsilons!r:.80} do not fit together"
    if info.randomness is not None:
        try:
            checked(info.randomness.draws, info.randomness.rule, "randomness.draws")
        except HarnessError as error:
            return str(error)
    if (suite.other_place == "boxes") != (info.data.boxes is not None) or (
        suite.other_place and suite.threat != "patch"
    ):
        return f"suite.place {suite.other_place!r}, suite.threat {suite.threat!r} and data.boxes do not fit together"
    if not ids or len(set(ids)) != len(ids) or CLEAN in ids:
        return f"suite.attacks are {ids!r:.80}, expected different names"
    return _prefixes(info)


def _prefixes(info: RunInfo) -> str:
    """What contradicts itself in the attacks' n and chunks, in words, or nothing."""
    drawn = [info.samples_of(attack) for attack in info.suite.attacks]
    if drawn[0] != info.data.n or any(a < b for a, b in pairwise(drawn)):
        return f"suite.attacks have n {drawn!r:.80}, which must begin with data.n {info.data.n} and not grow"
    dear = {attack.id: attack.n for attack in info.suite.attacks if attack.n is not None}
    for name, count in (info.reached or {}).items():
        if info.suite.until is None or count < dear.get(name, count + 1):
            return f"reached has {count} for {name!r:.80}, which no stopping rule gives"
    for attack, count in zip(info.suite.attacks, drawn, strict=True):
        size = attack.chunk or info.suite.chunk
        if info.suite.chunk % size or (count % size and count != info.data.n):
            return f"attack {attack.id!r:.80} has chunk {size} and n {count}, suite.chunk is {info.suite.chunk}"
    return ""


_AT = re.compile(r"(.*?)(?: - at `(\$.*)`)?", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")


def _in_words(error: str, content: Any) -> str:
    """An error of the decoder as ``suite.attacks[0].id is 3, expected str``."""
    match = _AT.fullmatch(error)
    said, path = (match[1], match[2] or "$") if match else (error, "$")
    place = path.removeprefix("$").removeprefix(".")
    if missing := re.search(r"missing required field `(\w+)`", said):
        return f"{place}{'.' if place else ''}{missing[1]} is missing"
    value = content
    for name, at in _STEP.findall(path.removeprefix("$")):
        value = value.get(name) if isinstance(value, Mapping) else value[int(at)] if at else None
    if said.startswith("Invalid enum value"):
        return f"{place} is {value!r:.60}, which it cannot be"
    expected = said.replace("`", "").split(", got")[0].removeprefix("Expected ").removeprefix("Invalid ")
    return f"{place or 'it'} is {value!r:.60}, expected {expected}"
