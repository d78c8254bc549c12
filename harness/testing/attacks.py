"""`check_attack`: contract, determinism, state, budget, strength, and what early exit asks of an attack."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

from harness.base.randomness import forked
from harness.base.targets import resolve_targets
from harness.base.threat import Epsilon
from harness.errors import BadSuite, MissingPackage, PluginError
from harness.evidence.facts import broken_rows
from harness.inputs.reference import ReferenceModel
from harness.inputs.registry import Registry
from harness.measure.unit.compute import run_unit
from harness.measure.unit.isolation import breaches
from harness.measure.unit.job import Job, Setting
from harness.measure.unit.observer import AllBroken
from harness.measure.unit.outcome import Chunk
from harness.testing.closed import REACH, Plane
from harness.testing.faults import Faults, ModuleState
from harness.types import Attack, AttackSpec, Kind, LoadedModel, Mode, Norm, Problem

FACTORS = torch.linspace(0.4, 1.6, 13)
"""Distances of the images to the boundary, in epsilons: the first six can be broken, the last six cannot."""


def check_attack(
    attack: str | Callable[[AttackSpec, Norm], Any],
    params: Mapping[str, Any] | None = None,
    norm: Norm = "linf",
    slack: float = 1.25,
) -> None:
    """Hold an attack to the contract `harness.types.Attack`.

    Args:
        attack: The name it is registered as, ``tool.method``, or its class.
        params: Parameters as a suite would give them; enough steps for the strength test.
        norm: One of the norms it has.
        slack: On a linear model the attack must break every image whose distance to the boundary is below
            epsilon / `slack`; inf asks for nothing.

    Raises:
        NotConformant: lists every fault.
    """
    name = attack if isinstance(attack, str) else f"test.{getattr(attack, '__name__', 'attack').lower()}"
    tool, _, method = name.partition(".")
    spec = AttackSpec(method, tool, method, dict(params or {}))
    with Faults(f"attack {name!r}") as faults:
        with faults.running("import", "the attack must be importable by its entry point"):
            factory = Registry("attacks").load(attack) if isinstance(attack, str) else attack
        with faults.running("contract", "the factory takes an AttackSpec and a norm"):
            made = factory(spec, norm)
        _contract(faults, made, factory, spec, norm)
        case = _Case(made, spec, norm)
        _behavior(faults, case)
        _results(faults, case, slack)


class _Case:
    """The attack on the linear model: 13 images at known distances to the boundary."""

    def __init__(self, attack: Attack, spec: AttackSpec, norm: Norm) -> None:
        self.attack, self.spec, self.norm = attack, spec, norm
        self.plane = Plane(norm).eval()
        self.plane.requires_grad_(False)
        self.images = self.plane.images(FACTORS, norm)
        self.labels = torch.zeros(len(FACTORS), dtype=torch.int64)
        self.epsilon = REACH[norm]

    def problem(self, rows: slice = slice(None), seed: int = 7) -> Problem:
        images, labels = self.images[rows].clone(), self.labels[rows].clone()
        rule = self.attack.target
        targets = None if rule is None else resolve_targets(rule, self.plane(images), labels)
        component = self.attack.components[0]
        return Problem(images, labels, self.norm, self.epsilon, seed, 5, len(images), component, 0, targets)

    def perturb(self, model: nn.Module | None = None, seed: int = 7) -> tuple[Tensor | None, Problem]:
        """One call as the harness makes it; one row where the attack works on one sample at a time."""
        problem = self.problem(slice(0, 1) if self.attack.one_by_one else slice(None), seed)
        with forked(seed):
            return self.attack.perturb(model or self.plane, problem), problem

    def broken(self, mode: Mode, keep_rows: bool = False) -> np.ndarray:
        """Which images the harness calls broken, bool [13]."""
        loaded = LoadedModel("plane", self.plane, 5)
        chunk = Chunk(
            index=0,
            sample_ids=np.arange(len(self.images)),
            images=self.images,
            labels=self.labels,
            clean_pred=torch.zeros_like(self.labels),
        )
        with ReferenceModel(loaded) as reference:
            setting = Setting(
                reference=reference, norm=self.norm, mode=mode, seed=0, batch_size=len(self.images), keep_rows=keep_rows
            )
            grid = (Epsilon(self.epsilon, f"{self.epsilon:g}"),)
            result = run_unit(Job(setting=setting, attack=self.attack, spec=self.spec, grid=grid, chunk=chunk))
        for finding in result.findings:
            if finding.level == "error":
                raise PluginError(finding.message)
        return broken_rows(result.facts, len(self.images))


def _contract(faults: Faults, made: Any, factory: Any, spec: AttackSpec, norm: Norm) -> None:
    faults.require(
        isinstance(made, Attack),
        "contract",
        f"the factory gave {type(made).__name__}; derive the class from harness.attack.BaseAttack",
    )
    faults.require(made.kind in get_args(Kind), "contract", f"kind {made.kind!r} is none of {get_args(Kind)}")
    with faults.running("contract", "parameters(epsilon) must name every parameter"):
        json.dumps(made.parameters(0.1), allow_nan=False)
    advice = "tool_version must return the version; set `distribution` to your package's name"
    with faults.running("version", advice), suppress(MissingPackage):
        version = made.tool_version()
        faults.expect(isinstance(version, str) and bool(version), "version", f"tool_version gave {version!r}")
    nonsense = AttackSpec(spec.id, spec.tool, spec.method, dict(spec.params) | {"no_such_parameter": 1})
    with faults.running("parameters", "an unknown parameter must raise BadSuite"), suppress(BadSuite):
        factory(nonsense, norm)
        faults.expect(False, "parameters", "an unknown parameter is accepted; list the known ones in `strength`")


def _behavior(faults: Faults, case: _Case) -> None:
    state = ModuleState(case.plane)
    with faults.running("run", "perturb failed on a linear model with five classes"):
        back, problem = case.perturb()
    rows = len(problem.images)
    for change in state.changes():
        faults.expect(False, "state", f"perturb changed {change}; work on copies")
    faults.expect(
        torch.equal(problem.images, case.images[:rows]) and not problem.images.requires_grad,
        "state",
        "perturb changed problem.images in place; start with problem.images.clone()",
    )
    with faults.running("result", "return images like problem.images, or None"):
        wrong = breaches(back, problem.images, case.norm, case.epsilon, case.attack.kind)
        for words in wrong[1] if wrong else []:
            faults.expect(False, "budget", f"{words}; project onto the ball around problem.images at the end")
    if isinstance(back, Tensor):
        near = (back - back.clamp(0, 1)).abs().amax() <= 1e-6
        faults.expect(bool(near), "box", "pixels left [0,1]; clamp(0, 1) at the end")
    with faults.running("run", "a second call failed"):
        again, _ = case.perturb()
    same = (back is None and again is None) or (
        isinstance(back, Tensor) and isinstance(again, Tensor) and torch.equal(back, again)
    )
    faults.expect(same, "determinism", "the same seed gave other images; draw from torch's generator or problem.seed")
    _stops(faults, case)


def _stops(faults: Faults, case: _Case) -> None:
    class Stopping(nn.Module):
        queries = 0

        def forward(self, images: Tensor) -> Tensor:
            self.queries += 1
            raise AllBroken

    stopping = Stopping()
    with faults.running("early exit", "an exception of the model must reach the harness as it is"):
        try:
            case.perturb(stopping)
        except AllBroken:
            return
    if stopping.queries:
        advice = "perturb swallowed a BaseException of the model; catch Exception, never BaseException or everything"
        faults.expect(False, "early exit", advice)


def _results(faults: Faults, case: _Case, slack: float) -> None:
    with faults.running("result", "the harness could not run it"):
        broken = case.broken("observed")
    targeted = case.attack.target is not None
    if not targeted:
        needed = (1 / slack > FACTORS).numpy()
        faults.expect(
            bool(broken[needed].all()),
            "strength",
            f"{int((needed & ~broken).sum())} of {int(needed.sum())} images of a linear model stay unbroken although"
            f" the boundary is nearer than epsilon / {slack:g}; check sign, step size, projection, or give more steps",
        )
    if case.attack.freezes(case.attack.components[0]):
        bare = case.broken("faithful")
        lost = bare & ~case.broken("observed", keep_rows=True)
        faults.expect(
            not lost.any(),
            "freezing",
            f"early exit loses {int(lost.sum())} images that the bare attack breaks; set `freezable = False`",
        )
