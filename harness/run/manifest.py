"""What a run says of itself before its first unit; what determines the numbers makes its key."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

import msgspec
import torch

from harness.base.machine import device_name, revision, versions
from harness.base.text import now
from harness.errors import MissingPackage, PluginError
from harness.evidence import facts
from harness.evidence.plan_info import Device
from harness.evidence.run_info import (
    Asked,
    AskedCompile,
    AskedPrecision,
    DataInfo,
    Evidence,
    IdsInfo,
    ModelInfo,
    Randomness,
    RunInfo,
    run_name,
)
from harness.evidence.suite_info import AdaptationInfo, AttackInfo, SuiteInfo
from harness.inputs.adaptations import Adapted
from harness.inputs.boxes import boxes_digest
from harness.inputs.corruptions.attack import LIBRARY
from harness.inputs.draws import Draws
from harness.inputs.find import data_name
from harness.inputs.identity import class_definition, model_definition, subject, weights_of
from harness.inputs.registry import Registry, stranger
from harness.inputs.samples import Slice
from harness.inputs.suite import Suite
from harness.run.options import Options
from harness.types import Adaptation, Attack, AttackSpec, Finding, LoadedModel

MANY_WITNESSES = 20_000
"""Above this many samples times attacks, one witness a sample is kept rather than one a sample and attack."""


def describe(
    model: LoadedModel,
    suite: Suite,
    attacks: tuple[Attack, ...],
    part: Slice,
    options: Options,
    device: torch.device,
    adapted: Adapted = MappingProxyType({}),
    draws: Draws | None = None,
) -> RunInfo:
    """Everything run.json says before the first unit; what determines the numbers makes the key."""
    attack_infos, findings = [], []
    drawn = suite.counts(len(part.indices))
    for spec, attack, count in zip(suite.attacks, attacks, drawn, strict=True):
        try:
            tool_version: str | None = attack.tool_version()
        except MissingPackage as error:
            tool_version = None
            findings.append(Finding("not_installed", "error", f"{spec.id}: {error}"))
        except PluginError as error:
            tool_version = None
            findings.append(Finding("plugin", "error", f"{spec.id}: {error}"))
        attack_infos.append(
            AttackInfo(
                id=spec.id,
                tool=spec.tool,
                tool_version=tool_version,
                method=spec.method,
                kind=attack.kind,
                iterative=attack.iterative,
                components=tuple(name for name in attack.components if name is not None),
                params=dict(spec.params),
                resolved={epsilon.label: attack.parameters(epsilon.value) for epsilon in suite.grid},
                caveats=tuple(attack.caveats),
                code=class_definition(type(attack)),
                # Those that are asked for stand in the parameters already.
                individual=True if attack.individual and not spec.params.get("individual") else None,
                n=None if spec.n is None else count,
                chunk=spec.chunk,
                after=cast(Any, spec.after),
                adapt=_adapt_info(spec, adapted.get(spec.id, ())),
            )
        )
    corrupts = suite.threat == "corruption"  # whoever has the clean image makes the corrupted one again
    witnesses = "none" if corrupts else options.witnesses or ("worst" if sum(drawn) > MANY_WITNESSES else "all")
    suite_info = SuiteInfo(
        name=suite.name,
        version=suite.version,
        label=suite.label,
        norm=suite.norm,
        labels=tuple(epsilon.label for epsilon in suite.grid),
        epsilons=tuple(epsilon.value for epsilon in suite.grid),
        chunk=suite.chunk,
        attacks=tuple(attack_infos),
        until=None if options.until is None else options.until / 100,
        edited=suite.edited or None,
        other_threat=None if suite.threat == "ball" else suite.threat,
        other_place=None if suite.place == "drawn" else suite.place,
    )
    asked = Asked(
        device=device.type,
        batch_size=options.batch_size or "auto",
        precision=cast(AskedPrecision, options.precision),
        compile=cast(AskedCompile, options.compile),
    )
    info = RunInfo(
        facts_schema=facts.SCHEMA_VERSION,
        model=ModelInfo(name=model.name, sha256=weights_of(model), code=model_definition(model)),
        suite=suite_info,
        data=DataInfo(
            name=part.data.name,
            slice=part.digest(),
            n=len(part.indices),
            ids=None if options.ids is None else IdsInfo(name=options.ids.name, sha256=options.ids.sha256),
            boxes=boxes_digest(part) if suite.place == "boxes" else None,
        ),
        mode=suite.mode,
        seed=options.seed,
        asked=asked,
        randomness=None if draws is None else Randomness(draws=draws.count, rule=draws.rule, level=draws.level),
        threads=torch.get_num_threads() if device.type == "cpu" else 0,
        key="",
        run="",
        run_name="",
        subject=subject(model.module),
        given=options.given,
        plugins=_plugins(model, suite, part, options) or None,
        witnesses=cast(Evidence, witnesses),
        device=Device(name=device_name(device), torch=str(device)),
        card=_card_info(model),
        classes=tuple(str(name) for name in part.data.classes),
        versions=versions(*([LIBRARY] if corrupts else [])),
        git=revision(),
        findings=tuple(findings),
        status="running",
        started=now(),
        finished=None,
        seconds=0.0,
        sessions=0,
        out_of_memory=0,
        unconfirmed=0,
        unit_timeout=options.unit_timeout,
    )
    key = info.determined()
    name = run_name(model.name, suite.name, key)
    return msgspec.structs.replace(info, key=key, run=str(options.results / name), run_name=name)


def _adapt_info(spec: AttackSpec, adapted: Sequence[Adaptation]) -> tuple[AdaptationInfo, ...] | None:
    pairs = zip(spec.adapt, adapted, strict=True)
    told = (AdaptationInfo(text=text, weights=one.weights, code=class_definition(type(one))) for text, one in pairs)
    return tuple(told) or None


def _plugins(model: LoadedModel, suite: Suite, part: Slice, options: Options) -> dict[str, str]:
    """``{"model": "their-package 1.2"}``: what of the run is gone where such a package is not installed."""
    given = options.given
    named = {
        "model": ("models", (given and given.model) or model.name),
        "data": ("datasets", data_name(given.data)[0] if given and given.data else part.data.name),
        "suite": ("suites", suite.name),
    } | {f"attack {spec.id}": ("attacks", f"{spec.tool}.{spec.method}") for spec in suite.attacks}
    named |= {
        f"adaptation {text}": ("adaptations", text.partition(":")[0]) for spec in suite.attacks for text in spec.adapt
    }
    found = {}
    for what, (kind, name) in named.items():
        if package := stranger(kind, name):
            found[what] = f"{package} {Registry(kind).get(name).version}"
    return found


def _card_info(model: LoadedModel) -> dict[str, Any] | None:
    card = model.card
    if card is None:
        return None
    claims = {name: {"accuracy": claim.accuracy, "n": claim.n} for name, claim in card.claims.items()}
    return {
        "defense": card.defense,
        "architecture": card.architecture,
        "trained_for": dict(card.trained_for),
        "recipe": _plain(card.recipe),
        "data": _plain(card.data),
        "provenance": _plain(card.provenance),
        "notes": card.notes,
        "claims": claims,
    }


def _plain(content: Mapping[str, Any]) -> Any:
    """What TOML knows and JSON does not (dates, nan), as text."""
    return json.loads(json.dumps(content, default=str), parse_constant=str)
