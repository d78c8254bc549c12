"""The samples of lanes, loaded: images on the device, with what the reference says of them unperturbed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from torch import Tensor

from harness.base.masks import Masks
from harness.base.memory import tidy
from harness.base.randomness import derive, forked
from harness.evidence import facts
from harness.inputs.boxes import masks_of
from harness.inputs.reference import margins, usual_range
from harness.inputs.samples import Slice
from harness.inputs.suite import Suite
from harness.measure.lanes import Lane, rows_of, size_of
from harness.measure.unit.job import Setting
from harness.measure.unit.outcome import Chunk

HEAVY = 2**20
"""Bytes of a chunk's images from which those of the chunk before are looked for."""
RANGED = 64
"""Images of a chunk from which the model's usual logit range is taken."""


class Chunks:
    """Loads chunks; the last one, and the last piece of it, stay loaded.

    Args:
        setting: Reference (entered), seed and deadline.
        suite: For the sizes of its chunks and of its attacks' pieces.
        part: The data slice.
        clean_facts: The facts of a chunk's clean pass, by the chunk's index.
    """

    def __init__(self, setting: Setting, suite: Suite, part: Slice, clean_facts: Callable[[int], pa.Table]) -> None:
        self.setting, self.suite, self.part, self.clean_facts = setting, suite, part, clean_facts
        self._whole: Chunk | None = None
        self._piece: tuple[Lane, Chunk] | None = None

    def forget(self) -> None:
        """Let go of what is loaded."""
        self._whole, self._piece = None, None

    def of(self, lane: Lane, index: int) -> Chunk:
        """The lane's samples as its units get them: as if the suite's chunk, with this index, were the attack's."""
        whole, rows = self._loaded(lane.chunk), rows_of(self.suite, lane)
        if size_of(self.suite, lane) == self.suite.chunk:
            return whole
        if self._piece is None or self._piece[0] != lane:
            images = whole.images[rows]
            piece = Chunk(
                index=index,
                sample_ids=whole.sample_ids[rows],
                images=images,
                labels=whole.labels[rows],
                clean_pred=whole.clean_pred[rows],
                usual_range=self._usual_range(images),
                masks=None if whole.masks is None else whole.masks[rows],
            )
            self._piece = lane, piece
        return self._piece[1]

    def _loaded(self, index: int) -> Chunk:
        if self._whole is None or self._whole.index != index:
            self.forget()
            images, labels = self.part.take(index)
            if images.nbytes > HEAVY:
                tidy()
            predictions = labels.new_tensor(self.clean_facts(index)["clean_pred"].to_pylist())
            device = self.setting.reference.device
            self._whole = Chunk(
                index=index,
                sample_ids=self.part.ids(index),
                images=images.to(device),
                labels=labels.to(device),
                clean_pred=predictions.to(device),
                usual_range=self._usual_range(images),
                masks=self._masks(index, images),
            )
        return self._whole

    def _masks(self, index: int, images: Tensor) -> Masks | None:
        if self.suite.threat != "patch":
            return None
        ids, device = self.part.ids(index), self.setting.reference.device
        return masks_of(self.suite.place, self.part.data, ids, images.shape, device)

    def _usual_range(self, images: Tensor) -> float:
        with forked(self.setting.seed):  # a randomized model draws
            return usual_range(self.setting.reference.logits(images[:RANGED]))


def clean_pass(setting: Setting, part: Slice, index: int) -> pa.Table:
    """Facts of a chunk's samples unperturbed.

    Raises:
        Halted: the deadline passed.
    """
    images, labels = part.take(index)
    reference = setting.reference
    labels = labels.to(reference.device)
    if (draws := setting.draws) is None:
        with forked(derive(setting.seed, facts.CLEAN, index)):  # a randomized model draws
            logits = reference.logits(images, setting.deadline)
        predictions, margin, forwards = logits.argmax(1), margins(logits, labels), 1
    else:
        poll = draws.poll(reference, images, part.ids(index).tolist())
        predictions, margin, forwards = poll.answers(labels), poll.margins(labels), draws.count
    right = (predictions == labels).cpu().numpy()
    columns = {
        "sample_id": part.ids(index),
        "label": labels.cpu().numpy(),
        "attack": facts.CLEAN,
        "epsilon": 0.0,
        "epsilon_label": "0",
        "outcome": np.where(right, "survived", "clean_wrong").tolist(),
        "margin": margin.double().cpu().numpy(),
        "clean_pred": predictions.cpu().numpy(),
        "forwards": np.full(len(right), forwards, np.int64),
        "backwards": np.zeros(len(right), np.int64),
    }
    return facts.table(len(right), columns)
