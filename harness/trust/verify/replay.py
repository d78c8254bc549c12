"""Survivors attacked again: a survivor is a claim, and only the recorded attack can say whether it stands."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from harness.base.modes import runs_once
from harness.base.randomness import derive
from harness.base.statistics import exact_upper_bound
from harness.base.threat import Epsilon
from harness.errors import BadSuite
from harness.evidence import facts as fact
from harness.evidence.facts import IMPLIED
from harness.evidence.run_info import as_json
from harness.inputs.reference import ReferenceModel
from harness.inputs.samples import Slice
from harness.inputs.suite import Suite
from harness.measure.unit.compute import Job, Setting, run_unit
from harness.measure.unit.outcome import Chunk
from harness.trust.verify.places import Place, Records, Rows
from harness.trust.verify.verdict import Hit, Ids, Mask, Problems, Replay
from harness.types import Attack, AttackSpec, Finding

REPEATS = 19
"""How often a survivor that broke is attacked once more, with a new seed each, before it is called false."""


@dataclass(frozen=True)
class Survivor:
    """One survivor: the position of its sample among the run's, and its place."""

    at: int
    place: Place


def replay(
    records: Records,
    part: Slice,
    reference: ReferenceModel,
    right: Mask,
    count: int,
    seed: int,
    problems: Problems,
    notes: list[Finding],
) -> Replay:
    """Attack `count` randomly drawn survivors again, each with its recorded attack and a new seed.

    A survivor that breaks is attacked `REPEATS` more times. One that breaks every time was no survivor, which is a
    problem; of one that sometimes stands, the seed decides, and it counts in the bound only.

    Args:
        records: The run's facts.
        part: The run's samples.
        reference: The run's model.
        right: Which samples are classified correctly here, bool [n] by ascending id.
        count: How many survivors to draw, without replacement.
        seed: Of the draw and of the attacks.
        problems: Takes false survivors, and attacks that cannot be run as recorded.
        notes: Takes what differs between then and now.

    Raises:
        MissingPackage: a drawn attack's tool is not installed.
        UnknownName: no plugin gives a drawn attack.
    """
    population = survivors(records, right)
    if not population:
        return Replay(count, seed, 0, 0, REPEATS, (), 0.0)
    draws = draw(population, count, seed)
    attacks = _attacks(records, {one.place[0] for one in draws}, problems, notes)
    if attacks is None:
        return Replay(count, seed, len(population), 0, REPEATS, (), 1.0)
    again = _Again(records, part, reference, attacks, seed, problems)
    broken = again.broken(draws, 0)
    tries = dict.fromkeys(broken, 0)
    standing = broken
    for attempt in range(1, REPEATS + 1):
        standing = again.broken(standing, attempt)
        for one in standing:
            tries[one] = attempt
    hits = tuple(
        Hit(int(records.ids[d.at]), d.place[0], records.grid[d.place[2]].label, times, times == REPEATS)
        for d, times in tries.items()
    )
    for hit in hits:
        if hit.false:
            problems.add(
                "replay",
                f"{hit.attack} at {hit.epsilon_label}: sample {hit.sample_id} is said to have survived, but the"
                f" recorded attack breaks it in {REPEATS + 1} runs of {REPEATS + 1}",
            )
    return Replay(count, seed, len(population), len(draws), REPEATS, hits, exact_upper_bound(len(hits), len(draws)))


def survivors(records: Records, right: Mask) -> list[Survivor]:
    """All facts that say survived after an attack that can be repeated: not at epsilon 0, not of components.

    Args:
        records: The run's facts.
        right: Which samples are classified correctly here, bool [n] by ascending id.
    """
    found = []
    for place, rows in sorted(records.rows.items(), key=lambda item: (item[0][0], item[0][2])):
        attack, component, at = place
        if attack != fact.CLEAN and component is None and records.grid[at].value > 0:
            found += [Survivor(int(i), place) for i in np.flatnonzero(_attacked(rows) & right)]
    return found


def _attacked(rows: Rows) -> Mask:
    mask: Mask = (rows["outcome"] == "survived") & (rows["reason"] != IMPLIED)
    return mask


def draw(population: Sequence[Survivor], count: int, seed: int) -> list[Survivor]:
    """`count` of the population (or all of it), each equally likely, without replacement."""
    picked = np.random.default_rng(seed).choice(len(population), min(count, len(population)), replace=False)
    return [population[i] for i in sorted(picked.tolist())]


def _attacks(
    records: Records, names: set[str], problems: Problems, notes: list[Finding]
) -> Mapping[str, tuple[AttackSpec, Attack]] | None:
    """The attacks as recorded, built by their plugins; None if what they are here is not what was recorded."""
    suite, info = records.info.suite, records.info
    told = [attack for attack in records.attacks if attack.id in names]
    specs = tuple(AttackSpec(a.id, a.tool, a.method, a.params, chunk=a.chunk) for a in told)
    grid = tuple(records.grid)
    try:
        built = Suite(suite.name, suite.version, suite.norm, grid, info.mode, suite.chunk, specs).resolve()
    except BadSuite as error:
        problems.add("attack", f"the recorded attack cannot be run: {error}")
        return None
    same = True
    for attack, before in zip(built, told, strict=True):
        here = {
            "kind": attack.kind,
            "iterative": attack.iterative,
            "components": [name for name in attack.components if name is not None],
            "resolved": {epsilon.label: attack.parameters(epsilon.value) for epsilon in grid},
        }
        told_of = as_json(before)
        for key, value in json.loads(json.dumps(here)).items():
            if value != told_of[key]:
                problems.add("attack", f"{before.id}: run.json records another {key} than the attack has here")
                same = False
        if (version := attack.tool_version()) != before.tool_version:
            text = f"{before.id}: replayed with {before.tool} {version}, recorded with {before.tool_version}"
            notes.append(Finding("replay", "warn", text))
    return {spec.id: (spec, attack) for spec, attack in zip(specs, built, strict=True)} if same else None


@dataclass(frozen=True)
class _Again:
    """Runs the recorded attacks on drawn samples."""

    records: Records
    part: Slice
    reference: ReferenceModel
    attacks: Mapping[str, tuple[AttackSpec, Attack]]
    seed: int
    problems: Problems

    def broken(self, draws: Sequence[Survivor], attempt: int) -> list[Survivor]:
        """Which of the draws break; each attempt has seeds of its own."""
        groups: dict[tuple[str, int], list[Survivor]] = {}
        for one in draws:
            once = runs_once(self.attacks[one.place[0]][1])
            groups.setdefault((one.place[0], -1 if once else one.place[2]), []).append(one)
        found = []
        for (name, step), mine in groups.items():
            grid = self.records.grid if step < 0 else self.records.grid[step : step + 1]
            at = np.unique([one.at for one in mine])
            size = self.attacks[name][0].chunk or self.records.info.suite.chunk
            for start in range(0, len(at), size):
                outcome = self._attack(name, grid, at[start : start + size], attempt)
                found += [d for d in mine if outcome.get((d.at, self.records.grid[d.place[2]].value)) in fact.BROKEN]
        return found

    def _attack(self, name: str, grid: Sequence[Epsilon], at: Ids, attempt: int) -> dict[tuple[int, float], str]:
        """Outcomes by sample position and epsilon."""
        info, (spec, attack) = self.records.info, self.attacks[name]
        ids, device = self.records.ids[at], self.reference.device
        images, labels = (tensor.to(device) for tensor in self.part.data.take(ids.tolist()))
        setting = Setting(
            self.reference,
            info.suite.norm,
            info.mode,
            derive(self.seed, "replay", info.key, attempt, int(at[0])),
            min(info.planned.batch_size, info.suite.chunk),
        )
        result = run_unit(Job(setting, attack, spec, grid, Chunk(0, ids, images, labels, labels)))
        whole = result.facts.filter(pc.is_null(result.facts["component"])).select(["sample_id", "epsilon", "outcome"])
        positions = dict(zip(ids.tolist(), at.tolist(), strict=True))
        outcomes = {(positions[row["sample_id"]], row["epsilon"]): row["outcome"] for row in whole.to_pylist()}
        if failed := sum(outcome not in fact.KNOWN for outcome in outcomes.values()):
            why = "; ".join(finding.message for finding in result.findings if finding.level == "error")
            self.problems.add(
                "replay", f"{name}: {failed} survivors could not be attacked again ({why or 'no reason told'})"
            )
        return outcomes
