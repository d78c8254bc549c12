"""Every attack with test parameters, and a way to run one that says how near its nearest witness is."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toys import loaded

import adapters.art
import adapters.autoattack
import adapters.torchattacks
from harness.attack import BaseAttack, ToolWarning
from harness.base.randomness import derive, forked
from harness.inputs.reference import ReferenceModel
from harness.measure.unit.board import WitnessBoard
from harness.measure.unit.observer import AllBroken, ObservedModel, Watch, offer_returned
from harness.types import AttackSpec, Norm, Problem

METHODS: Mapping[str, type[BaseAttack]] = {
    **adapters.torchattacks.METHODS,
    **adapters.art.METHODS,
    **adapters.autoattack.METHODS,
}
DISTRIBUTIONS = {"torchattacks": "torchattacks", "art": "art", "autoattack": "pyautoattack"}
"""Tool to the package that must be there."""

USUAL: Mapping[str, Any] = {
    "alpha_max": 0.1,
    "amplification": 10.0,
    "apgd_restarts": 1,
    "apgd_targets": 3,
    "beta": 0.9,
    "binary_search_steps": 8,
    "c": 5.0,
    "classes": 5,
    "components": ["apgd-ce"],
    "confidence": 0.0,
    "const_factor": 2.0,
    "decay": 1.0,
    "decrease_factor": 0.9,
    "delta": 0.01,
    "diversity_prob": 0.5,
    "eot": 1,
    "eta": 1.05,
    "fab_restarts": 1,
    "fab_targets": 3,
    "init_eval": 50,
    "init_size": 100,
    "initial_const": 0.01,
    "kernel": "gaussian",
    "kernel_sigma": 1.0,
    "kernel_size": 3,
    "largest_const": 20.0,
    "larger_radii": False,
    "learning_rate": 0.01,
    "loss": "ce",
    "max_doubling": 5,
    "max_eval": 10000,
    "max_halving": 5,
    "neighbors": 2,
    "optimizer": "pgd",
    "overshoot": 0.02,
    "p_init": 0.8,
    "population": 20,
    "project_factor": 0.8,
    "queries": 3000,
    "random_start": True,
    "rescale_schedule": False,
    "resize_rate": 0.9,
    "rho": 0.75,
    "samples": 20,
    "scale": 10.0,
    "scales": 2,
    "source_step": 0.01,
    "spherical_step": 0.01,
    "std": 0.1,
    "step_adapt": 0.667,
    "step_size": "epsilon/4",
    "steps": 20,
    "target_classes": 3,
    "trials": 25,
    "universal": False,
    "version": "standard",
}
"""A value for every canonical parameter; `SPECIAL` where a method needs another."""

SPECIAL: Mapping[str, Mapping[str, Any]] = {
    "art.apgd": {"step_size": "2*epsilon", "steps": 50},
    "art.boundary": {"steps": 100, "samples": 10},
    "art.cascade": {"step_size": "2*epsilon"},
    "art.cw": {"steps": 10, "binary_search_steps": 6},
    "art.cw-linf": {"steps": 50},
    "art.fgsm": {"random_start": False},
    "art.adversarial-patch": {"learning_rate": 0.1},
    "art.masked-pgd": {"step_size": 0.25},
    "art.square": {"steps": 3000},
    "autoattack.square": {"queries": 800},
    "torchattacks.apgd": {"steps": 50},
    "torchattacks.apgdt": {"steps": 50},
    "torchattacks.cw": {"steps": 500, "learning_rate": 0.02},
    "torchattacks.difgsm": {"decay": 0.0},
    "torchattacks.ffgsm": {"step_size": "1.25*epsilon"},
    "torchattacks.spsa": {"steps": 60, "samples": 128, "learning_rate": 0.02},
    "torchattacks.square": {"loss": "margin"},
    "torchattacks.tifgsm": {"decay": 0.0},
}


CASCADES = (
    "art.cascade",
    "autoattack.custom",
    "autoattack.plus",
    "autoattack.rand",
    "autoattack.standard",
    "torchattacks.cascade-10",
)
"""Made of others that have their own tests."""


def cases(wanted: Callable[[type[BaseAttack]], bool]) -> list[Any]:
    """Test cases (name, norm): each attack in a ball that is `wanted`, in each of its norms, marked with its tool.

    Not in l0, where no plane has a closed form in all norms; see `test_pixels.py`.
    """
    found = []
    for name, kind in METHODS.items():
        if name in CASCADES or "ball" not in kind.threats or not wanted(kind):
            continue
        tool = name.partition(".")[0]
        missing = find_spec(DISTRIBUTIONS[tool]) is None
        marks = [getattr(pytest.mark, tool), pytest.mark.skipif(missing, reason=f"{tool} is not installed")]
        found += [pytest.param(name, norm, marks=marks, id=f"{name}-{norm}") for norm in kind.norms if norm != "l0"]
    return found


def make(name: str, norm: Norm, **changes: Any) -> BaseAttack:
    """The attack registered as `name`, with test parameters."""
    tool, _, method = name.partition(".")
    kind = METHODS[name]
    given = {**USUAL, **SPECIAL.get(name, {})}
    params = {key: given[key] for key in kind.strength} | changes
    return kind(AttackSpec(name.replace(".", "/"), tool, method, params), norm)


def strike(
    attack: BaseAttack,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    epsilon: float,
    watch: Watch = "judge",
    seed: int = 0,
    **options: Any,
) -> Tensor:
    """Distance of each sample's nearest witness under `attack`, float64 [n], inf where there is none.

    Runs as the harness does: all components and restarts, one row at a time where the tool works so, every query and
    what is returned judged by the reference model.
    """
    nearest = torch.full((len(images),), torch.inf, dtype=torch.float64)
    groups = [[i] for i in range(len(images))] if attack.one_by_one else [list(range(len(images)))]
    with torch.no_grad():
        classes = model(images).shape[1]
    with ReferenceModel(loaded(model, classes)) as reference:
        for component in attack.components:
            for group in groups:
                board = WitnessBoard(reference, images[group], labels[group], attack.norm, epsilon, attack.kind)
                observer = ObservedModel(reference.module, board, watch, **options)
                for restart in range(attack.restarts):
                    _once(attack, observer, board, epsilon, derive(seed, component, group[0], restart), component)
                nearest[group] = torch.minimum(nearest[group], board.distance)
    return nearest


def _once(
    attack: BaseAttack, observer: ObservedModel, board: WitnessBoard, epsilon: float, seed: int, component: str | None
) -> None:
    reference = board.reference
    problem = Problem(
        board.clean.clone(),
        board.labels.clone(),
        attack.norm,
        epsilon,
        seed,
        reference.num_classes,
        len(board.clean),
        component,
    )
    with forked(seed), warnings.catch_warnings():
        warnings.simplefilter("ignore", ToolWarning)
        with contextlib.suppress(AllBroken):
            offer_returned(board, attack.perturb(observer, problem), 0)
