"""The components as objects of the tool. Importing this file imports torch and the tool."""

from __future__ import annotations

import re
import warnings
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from adapters.autoattack.budget import CONSTANTS, Budget
from harness.attack import ToolWarning
from harness.errors import MissingPackage
from harness.types import Norm, Problem

PACKAGES = ("pyautoattack", "autoattack")
NORMS: dict[Norm, str] = {"linf": "Linf", "l2": "L2", "l1": "L1"}
FEWEST_CLASSES = {"apgd-dlr": 3, "apgd-t": 4}
"""Classes without which a component's loss is not defined."""


class Warnings:
    """Stands in for the tool's logger: its warnings become a `ToolWarning` each, the rest is dropped."""

    def warning(self, text: str) -> None:
        """As ``pyautoattack`` calls it."""
        text = re.sub(r"^Warning: ", "", text)
        text = text.replace(' Please use version="rand".', "")  # more draws break more: see the doctor's P5
        text = re.sub(r"^there are \S+ points", "there are points", text).partition(" See ")[0]
        warnings.warn(ToolWarning(text), stacklevel=2)

    def log(self, text: str) -> None:
        """As ``autoattack`` calls it, for warnings and all else."""
        if text.startswith("Warning"):
            self.warning(text)


def module(name: str) -> Any:
    """A module of whichever of the two distributions is installed.

    Raises:
        MissingPackage: neither is.
    """
    for package in PACKAGES:
        if find_spec(package) is not None:
            return import_module(f"{package}.{name}")
    raise MissingPackage("autoattack is not installed; run: pip install pyautoattack")


def build(component: str, model: nn.Module, problem: Problem, budget: Budget) -> Any:
    """The tool's object for `component`, with every parameter given; ``perturb(x, y)`` runs it."""
    common = {
        "norm": NORMS[problem.norm],
        "eps": problem.epsilon,
        "seed": problem.seed,
        "verbose": False,
        "device": problem.images.device,
    }
    possible = problem.num_classes - 1
    if component.startswith("apgd"):
        apgd = {
            **common,
            "n_iter": budget.steps,
            "eot_iter": budget.eot,
            "rho": CONSTANTS["rho"],
            "topk": None,
            "use_largereps": budget.larger_radii,
            "is_tf_model": False,
            "logger": Warnings(),
        }
        base = module("autopgd_base")
        if component == "apgd-t":
            targets = min(budget.apgd_targets, possible)
            return base.APGDAttack_targeted(model, **apgd, n_restarts=1, n_target_classes=targets)
        loss = component.removeprefix("apgd-")
        return base.APGDAttack(model, **apgd, n_restarts=budget.apgd_restarts, loss=loss)
    if component.startswith("fab"):
        targeted = component == "fab-t"
        return module("fab_pt").FABAttack_PT(
            model,
            **common,
            n_iter=budget.steps,
            n_restarts=1 if targeted else budget.fab_restarts,
            n_target_classes=min(budget.fab_targets, possible),
            targeted=targeted,
            alpha_max=CONSTANTS["alpha_max"],
            eta=CONSTANTS["eta"],
            beta=CONSTANTS["beta"],
            loss_fn=None,
        )
    return module("square").SquareAttack(
        model,
        **common,
        n_queries=budget.queries,
        n_restarts=1,
        p_init=CONSTANTS["p_init"],
        targeted=False,
        loss="margin",
        resc_schedule=False,
    )


class GradientCalls:
    """Stands in for ``sys`` in the tool's checks: counts the calls of autograd at the one place that all of them pass.

    The tool's trace function is called for every Python call and line, and hangs Python 3.11 after a greenlet switch.

    Args:
        counts: The tool's table of function names and calls.
    """

    def __init__(self, counts: dict[str, int]) -> None:
        self._counts = counts
        self._original = torch.autograd._make_grads

    def settrace(self, function: Any) -> None:
        """Count from now on, or, with None, no longer."""

        def counted(*args: Any, **options: Any) -> Any:
            self._counts["_make_grads"] += 1
            return self._original(*args, **options)

        torch.autograd._make_grads = self._original if function is None else counted


@torch.no_grad()
def check(model: nn.Module, images: Tensor, labels: Tensor, randomized: bool) -> None:
    """The tool's checks of the model, on some rows; what they say becomes a `ToolWarning`.

    The tool counts gradient calls inside the model in a global table that it never clears; it is put back.
    """
    checks, ear = module("checks"), Warnings()
    rows, truth = images[:64], labels[:64]
    if not randomized:
        checks.check_randomized(model, rows, truth, bs=len(rows), logger=ear)
    checks.check_range_output(model, rows, logger=ear)
    counts = dict.fromkeys(checks.funcs, 0)
    counter = GradientCalls(counts)
    with patch.multiple(checks, funcs=counts, sys=counter):
        try:
            checks.check_dynamic(model, rows, False, logger=ear)
        finally:
            counter.settrace(None)
