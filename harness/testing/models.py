"""`check_model`: loads the same offline, fits its data, passes the doctor, and is what its card says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from harness.inputs.find import as_loaded, find_model
from harness.inputs.identity import weights_of
from harness.inputs.objects import DataLike, as_data, as_model, name_classes
from harness.inputs.reference import ReferenceModel
from harness.inputs.samples import make_slice
from harness.testing.faults import Faults, ModuleState, offline
from harness.trust.doctor import examine_data, examine_model
from harness.types import LoadedModel

LOOKED = 16
"""Images for the comparison of two loads."""


def check_model(model: str | Callable[[], Any], data: DataLike = "signs", warnings: bool = False) -> None:
    """Hold a model plugin to its contract.

    Args:
        model: The name it is registered as, anything else ``--model`` takes, or the plugin's function.
        data: Data it is meant for, as `harness.evaluate` takes it.
        warnings: Count the doctor's warnings as faults, too, not only its refusals.

    Raises:
        NotConformant: lists every fault.
    """
    name = model if isinstance(model, str) else getattr(model, "__name__", "model")

    def load() -> LoadedModel:
        found = find_model(model) if isinstance(model, str) else as_loaded(name, model(), "under test")
        return as_model(found, samples)

    with Faults(f"model {name!r}") as faults:
        samples = as_data(data)
        with faults.running("load", "the function must return a LoadedModel or a module with num_classes"):
            loaded = load()
        name_classes(samples, loaded.num_classes)
        advice = "once loaded, it must load again without a network; keep the weights on disk"
        with faults.running("offline", advice), offline():
            again = load()
        faults.expect(
            weights_of(loaded) == weights_of(again),
            "reload",
            "two loads gave different weights; load them from a file, or seed what you draw",
        )
        _card(faults, loaded)
        with faults.running("data", "images and model do not fit"):
            report = examine_data(loaded, samples)
        for finding in report.refusals:
            faults.expect(False, finding.check, finding.message)
        if report.refusals:
            return
        _answers(faults, loaded, again, samples, warnings)


def _answers(faults: Faults, loaded: LoadedModel, again: LoadedModel, samples: Any, warnings: bool) -> None:
    state = ModuleState(loaded.module)
    with faults.running("forward", "the doctor could not ask the model"):
        report = examine_model(loaded, samples)
    for finding in report.findings:
        if finding.level in ("refuse", "error") or (warnings and finding.level == "warn"):
            faults.expect(False, finding.check, finding.message)
    for change in state.changes():
        faults.expect(False, "state", f"predicting changed {change}; keep state out of forward")
    if report.refusals:
        return
    images, _ = make_slice(samples, min(LOOKED, len(samples)), LOOKED).take(0)
    with ReferenceModel(loaded) as first, ReferenceModel(again) as second:
        same = torch.allclose(first.logits(images), second.logits(images), rtol=1e-4, atol=1e-5)
    faults.expect(same, "reload", "two loads answer differently; save what the answers depend on with the weights")


def _card(faults: Faults, loaded: LoadedModel) -> None:
    card = loaded.card
    if card is None:
        return
    claimed = card.weights.get("sha256")
    if claimed is not None:
        faults.expect(
            claimed == loaded.weights_sha256,
            "hash",
            f"the card says sha256 {str(claimed)[:12]}..., the weights have {str(loaded.weights_sha256)[:12]}...;"
            " write the card anew",
        )
    faults.expect(
        (card.num_classes, tuple(card.input_shape)) == (loaded.num_classes, tuple(loaded.input_shape or ())),
        "card",
        f"the card says {card.num_classes} classes and images {tuple(card.input_shape)}, the model {loaded.num_classes}"
        f" and {loaded.input_shape}; mend the card",
    )
