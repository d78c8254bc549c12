"""One unit of a suite of corruptions: a chunk under one kind at one severity, every image of it judged."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from harness.base.randomness import derive, forked
from harness.base.threat import distance
from harness.errors import PluginError
from harness.evidence import facts, witnesses
from harness.inputs.corruptions.attack import Corruption
from harness.inputs.reference import margins
from harness.measure.unit.job import Job, UnitResult
from harness.types import Finding


def run_corruption(job: Job) -> UnitResult:
    """Corrupt one chunk, ask the reference, and say of every image whether it is read right.

    An image that is misread is a witness, whether or not the clean one was read right; none is stored, for whoever has
    the clean image and its id makes it again.
    """
    attack, chunk, epsilon = job.attack, job.chunk, job.grid[-1]
    if not isinstance(attack, Corruption):
        raise TypeError(f"{job.spec.id} is no corruption")
    reference, labels = job.setting.reference, chunk.labels
    try:
        images = attack.images(chunk.images, chunk.sample_ids.tolist(), epsilon.value)
    except PluginError as error:
        finding = Finding("plugin", "error", f"{job.spec.id}: {error}")
        found = _table(job, outcome=["error"] * len(labels), reason="exception")
        return UnitResult(facts=found, witnesses=witnesses.empty(), findings=[finding])
    with forked(derive(job.setting.seed, "unit", job.spec.id, epsilon.value, chunk.index)):  # a randomized model draws
        logits = reference.logits(images.to(reference.device))
    predictions, gain = logits.argmax(1), margins(logits, labels)
    broken = (predictions != labels).cpu().numpy()
    reach = distance(images, chunk.images.cpu(), job.setting.norm)

    def of_witness(values: torch.Tensor) -> NDArray[np.generic]:
        return np.ma.array(values.cpu().numpy(), mask=~broken)

    found = _table(
        job,
        outcome=np.where(broken, "witness", "survived").tolist(),
        source=["returned" if one else None for one in broken],
        distance=of_witness(reach),
        margin=of_witness(gain.double()),
        adv_pred=of_witness(predictions),
        forwards=np.ones(len(broken), np.int64),
    )
    return UnitResult(facts=found, witnesses=witnesses.empty())


def _table(job: Job, **columns: object) -> pa.Table:
    """Facts of the unit; of every image, also of those that are misread clean."""
    chunk, epsilon, n = job.chunk, job.grid[-1], len(job.chunk.sample_ids)
    shared = {
        "sample_id": chunk.sample_ids,
        "label": chunk.labels.cpu().numpy(),
        "attack": job.spec.id,
        "epsilon": epsilon.value,
        "epsilon_label": epsilon.label,
        "clean_pred": chunk.clean_pred.cpu().numpy(),
        "forwards": np.zeros(n, np.int64),
        "backwards": np.zeros(n, np.int64),
    }
    return facts.table(n, shared | columns)
