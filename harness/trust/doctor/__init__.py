"""The doctor: is this model wired so that a robust accuracy means anything? Asked before every run, or by itself.

It looks at 128 images (clean accuracy) and 64 of them (everything else): about 9 forwards and 2 backwards of 64 rows,
and 8 single rows; where 10 or more of the 64 are wrong, 5 to 9 further forwards for other normalizations, and where 10
or more of the 128 are, forwards of up to 640 images for another order of the labels; and, without a forward pass, at
up to 4,096 images where a list of the model's training images lies beside its card. Refusals stop a run, unless it is
forced; warnings travel with the row.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from harness.base.memory import is_out_of_memory, release
from harness.base.randomness import forked
from harness.errors import BadData, ModelRefused
from harness.evidence.findings import PREFLIGHT, found
from harness.inputs.draws import Draws
from harness.inputs.reference import ReferenceModel
from harness.inputs.samples import make_slice
from harness.trust.doctor.accuracy import accuracy_findings
from harness.trust.doctor.answers import answer_findings
from harness.trust.doctor.inputs import more_classes, pixels, shape_and_classes, units
from harness.trust.doctor.order import wanted
from harness.trust.doctor.probe import PROBED, examine, predictions
from harness.trust.doctor.training_images import training_images
from harness.types import Dataset, Finding, LoadedModel

SAMPLE = 128
"""Images for clean accuracy: the first of the data set's fixed order, the same for every model and every n."""

__all__ = ["Report", "examine_data", "examine_model", "refuse", "units"]


@dataclass(frozen=True)
class Report:
    """What the doctor found."""

    findings: list[Finding] = field(default_factory=list)
    n: int = 0
    """Images looked at."""
    seconds: float = 0.0
    looked: tuple[str, ...] = PREFLIGHT
    """Codes of the checks that were made; the others could not be, for what was found before."""

    @property
    def refusals(self) -> list[Finding]:
        """Findings that stop a run."""
        return [finding for finding in self.findings if finding.level == "refuse"]


def examine_data(model: LoadedModel, data: Dataset) -> Report:
    """The checks that nothing can force, on the data set and its fit to the model; they cost no forward pass."""
    begun = time.monotonic()
    part = make_slice(data, min(SAMPLE, len(data)), SAMPLE)
    labels: Tensor | None = None
    try:
        images, labels = part.take(0)
        part.take(0)  # refused if it differs
        findings = pixels(images, data.name)
    except BadData as error:
        findings = [found("P1", "refuse", str(error))]
    findings += shape_and_classes(model, data, labels)
    return Report(findings, len(part.indices), time.monotonic() - begun, ("P1", "P15"))


def examine_model(
    model: LoadedModel,
    data: Dataset,
    device: torch.device | str = "cpu",
    batch_size: int | None = None,
    draws: Draws | None = None,
) -> Report:
    """All checks of the model itself; `examine_data` must have refused nothing.

    Model and random generators are left as they were.

    Args:
        model: The loaded model.
        data: The data set it is going to be measured on.
        device: Where.
        batch_size: Rows at a time, if 64 are too many; halved when memory runs out.
        draws: How a randomized model is asked in the run. Its card's claim is then left to the diagnosis: what is asked
            here are single draws.
    """
    begun = time.monotonic()
    images, labels = make_slice(data, min(SAMPLE, len(data)), SAMPLE).take(0)
    trained = any(part.training for part in model.module.modules())
    piece = max(1, min(PROBED, batch_size or PROBED))
    findings: list[Finding] = []
    with forked(0), ReferenceModel(model, device) as reference:
        while True:
            try:
                probe = examine(reference, images, labels, model.card, piece)
                more = _more(reference, data, wanted(probe.right, len(data.classes)), piece)
                break
            except ModelRefused as error:
                findings = [found("P0", "refuse", str(error))]
                return Report(findings, len(images), time.monotonic() - begun, ("P0",))
            except Exception as error:
                if not is_out_of_memory(error) or piece == 1:
                    raise
                release()
                piece //= 2
    claim = model.card.claims.get(data.name) if model.card is not None and draws is None else None
    findings = answer_findings(probe, draws) + accuracy_findings(probe, claim, data.name, more, len(data.classes))
    findings += more_classes(model, data, probe.logits) + training_images(model.card, data)
    if trained:
        findings.append(found("P4", "info", "the model was handed over in train mode; it is measured in eval mode"))
    return Report(findings, len(images), time.monotonic() - begun)


def _more(reference: ReferenceModel, data: Dataset, n: int, piece: int) -> tuple[Tensor, Tensor] | None:
    """Predictions and labels of the images after the first `SAMPLE`, so that `n` are known in all; None if none are."""
    part = make_slice(data, min(n, len(data)), piece)
    part = replace(part, indices=part.indices[SAMPLE:])
    if not len(part.indices):
        return None
    pieces = [part.take(index) for index in range(part.chunks)]
    predicted = [predictions(reference, images, piece) for images, _ in pieces]
    return torch.cat(predicted), torch.cat([labels for _, labels in pieces])


def refuse(report: Report, name: str, force: bool = False) -> None:
    """Stop a run that the doctor refuses, with one line that names the check.

    Args:
        report: What was found.
        name: The model's name.
        force: Go on where the refusal is one of judgment; what cannot be computed is refused in any case.

    Raises:
        BadData: of images and labels.
        ModelRefused: of the model.
    """
    for finding in report.refusals:
        hard = finding.check in ("P0", "P1", "P15")
        if force and not hard:
            continue
        advice = "" if hard else "; --force runs it anyway and marks the row"
        line = f"{finding.check}: {finding.message}{advice}"
        error = BadData(line) if finding.check == "P1" else ModelRefused(f"model {name!r} refused by {line}")
        error.check = finding.check
        raise error
