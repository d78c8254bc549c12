"""Attacks as a run recorded them, built here by installed plugins, with the copies that adapted ones differentiate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from harness.errors import BadRun, BadSuite, MissingPackage, UnknownName
from harness.evidence.pool import Pool, named_run
from harness.evidence.structs import as_json
from harness.evidence.suite_info import AdaptationInfo, AttackInfo
from harness.inputs.adaptations import is_pooled, resolve
from harness.inputs.find import find_model
from harness.inputs.reference import ReferenceModel
from harness.inputs.registry import Registry
from harness.inputs.samples import Slice
from harness.inputs.suite import Suite
from harness.measure.adapted.prepare import AdaptedCopy, adapted_copies
from harness.trust.verify.places import CountedRun
from harness.trust.verify.subjects import gone
from harness.trust.verify.verdict import Contradictions
from harness.types import Attack, AttackSpec, Finding, LoadedModel


def recorded_attacks(
    records: CountedRun, names: set[str], problems: Contradictions, notes: list[Finding]
) -> Mapping[str, tuple[AttackSpec, Attack]] | None:
    """The attacks as recorded, built by their plugins; None if what they are here is not what was recorded."""
    suite, info = records.info.suite, records.info
    told = [attack for attack in records.attacks if attack.id in names]
    specs = tuple(AttackSpec(a.id, a.tool, a.method, a.params, chunk=a.chunk, adapt=a.adaptations) for a in told)
    grid = tuple(records.grid)
    try:
        built = Suite(
            name=suite.name,
            version=suite.version,
            norm=suite.norm,
            grid=grid,
            mode=info.mode,
            chunk=suite.chunk,
            attacks=specs,
            threat=suite.threat,
            place=suite.place,
        ).resolve()
    except UnknownName as error:
        missing = [f"{a.tool}.{a.method}{gone(info, f'attack {a.id}')}" for a in told if not _is_here(a)]
        raise MissingPackage(f"--replay needs the attack {' and '.join(missing) or error}") from None
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


def recorded_copies(
    records: CountedRun,
    part: Slice,
    reference: ReferenceModel,
    attacks: Mapping[str, tuple[AttackSpec, Attack]],
    problems: Contradictions,
) -> Mapping[str, AdaptedCopy] | None:
    """What the adapted ones among the attacks differentiate; None if that cannot be made as recorded.

    Raises:
        MissingPackage: an adaptation, or another model that proposes, is not installed under its name.
    """
    specs = [spec for spec, _ in attacks.values()]
    told = {attack.id: attack for attack in records.attacks}
    try:
        adapted = resolve(specs, _installed, partial(named_run, places=_beside(records)))
        for spec in specs:
            for one, before in zip(adapted.get(spec.id, ()), told[spec.id].adapt or (), strict=True):
                if one.weights != before.weights:
                    problems.add("attack", f"{spec.id}: {before.text} is of other weights here than run.json records")
                    return None
        images, _ = part.take(0)
        return adapted_copies(reference, specs, adapted, images)
    except UnknownName as error:
        raise MissingPackage(f"--replay needs the adaptations of {', '.join(sorted(attacks))}: {error}") from None
    except BadSuite as error:
        problems.add("attack", f"the recorded attack cannot be run: {error}")
        return None


def poolless(records: CountedRun, notes: list[Finding]) -> set[str]:
    """Attacks with a pool of which a run is not beside this one, or not what it was; a note says so of each."""
    found = set()
    for attack in records.attacks:
        for one in attack.adapt or ():
            if is_pooled([one.text]) and (why := _lost(one, records)):
                text = f"{attack.id}: its survivors are left out, for {why}"
                notes.append(Finding("replay", "warn", text))
                found.add(attack.id)
                break
    return found


def _lost(pool: AdaptationInfo, records: CountedRun) -> str | None:
    name = pool.text.partition(":")[2]
    try:
        here = Pool((named_run(name, _beside(records)),)).sha256
    except BadRun:
        return f"run {name!r:.120}, whose witnesses it asks about, is not beside this one or cannot be read"
    return None if here == pool.weights else f"run {name!r:.120} has other witnesses here than it was offered"


def _beside(records: CountedRun) -> tuple[Path, ...]:
    return (records.folder.resolve().parent,)


def _is_here(attack: AttackInfo) -> bool:
    return f"{attack.tool}.{attack.method}" in Registry("attacks")


def _installed(name: str) -> LoadedModel:
    """A model that a stranger's run names: of installed plugins only, nothing is loaded from a path."""
    Registry("models").get(name)
    return find_model(name)
