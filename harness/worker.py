"""A worker holds the model and computes lanes: one attack on one chunk, up the epsilon grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from harness import facts
from harness.errors import ModelRefused
from harness.model import margins, usual_range
from harness.passes import Chunk, broken_rows
from harness.slices import Slice
from harness.store import RunStore, Unit
from harness.suite import Suite
from harness.threat import Epsilon
from harness.types import Attack
from harness.unit import GRID, Job, Setting, UnitResult, run_unit

CLEAN_UNIT = "0"
RANGED = 64
"""Images of a chunk from which the model's usual logit range is taken."""


@dataclass(frozen=True)
class Lane:
    """Units that depend on each other: one attack on one chunk; attack None is the clean pass."""

    attack: int | None
    chunk: int


@dataclass(frozen=True)
class Done:
    """A unit that is on disk now; `result` is None if it was there before."""

    unit: Unit
    facts: pa.Table
    result: UnitResult | None


class Worker:
    """Computes lanes and stores their units.

    Args:
        setting: Reference (entered), norm, mode, seed and batch size.
        suite: The suite, for its grid.
        attacks: The suite's attacks, resolved.
        part: The data slice.
        store: Where facts go.
        keep_witnesses: Whether witness images are stored.
    """

    def __init__(
        self,
        setting: Setting,
        suite: Suite,
        attacks: Sequence[Attack],
        part: Slice,
        store: RunStore,
        keep_witnesses: bool = True,
    ) -> None:
        self.setting, self.suite, self.attacks, self.part, self.store = setting, suite, attacks, part, store
        self.keep_witnesses = keep_witnesses
        self._chunk: Chunk | None = None

    def run(self, lane: Lane, stop: Callable[[], bool] = lambda: False) -> Iterator[Done]:
        """Compute what is not on disk yet, unit by unit; `stop` is asked before each."""
        if lane.attack is None:
            yield self._clean(lane.chunk)
            return
        before: pa.Table | None = None
        stored: np.ndarray | None = None
        for unit, grid in lane_units(self.suite, self.attacks, lane):
            known = self.store.facts_of(unit)
            if known is None:
                if stop():
                    return
                attack, spec = self.attacks[lane.attack], self.suite.attacks[lane.attack]
                result = run_unit(Job(self.setting, attack, spec, grid, self._load(lane.chunk), before, stored))
                self.store.write(unit, result.facts, result.witnesses if self.keep_witnesses else None)
                if result.log.strip():
                    self.store.log(f"--- {unit.filename}\n{result.log}")
                done = Done(unit, result.facts, result)
            else:
                done = Done(unit, known, None)
            if self._inherits(lane.attack):
                before = done.facts
            broken = broken_rows(done.facts, len(self.part.ids(lane.chunk)), grid[-1].value)
            stored = broken if stored is None else stored | broken
            yield done

    def _inherits(self, attack: int) -> bool:
        return self.setting.mode != "faithful" and self.attacks[attack].iterative

    def _clean(self, index: int) -> Done:
        unit = Unit(facts.CLEAN, CLEAN_UNIT, index)
        known = self.store.facts_of(unit)
        if known is not None:
            return Done(unit, known, None)
        images, labels = self.part.take(index)
        reference = self.setting.reference
        logits = reference.logits(images)
        labels = labels.to(reference.device)
        predictions = logits.argmax(1)
        right = (predictions == labels).cpu().numpy()
        found = facts.table(
            len(right),
            {
                "sample_id": self.part.ids(index),
                "label": labels.cpu().numpy(),
                "attack": facts.CLEAN,
                "epsilon": 0.0,
                "epsilon_label": "0",
                "outcome": np.where(right, "survived", "clean_wrong").tolist(),
                "margin": margins(logits, labels).double().cpu().numpy(),
                "clean_pred": predictions.cpu().numpy(),
                "forwards": np.ones(len(right), np.int64),
                "backwards": np.zeros(len(right), np.int64),
            },
        )
        self.store.write(unit, found, None)
        return Done(unit, found, UnitResult(found, pa.table({})))

    def _load(self, index: int) -> Chunk:
        """The chunk's images on the device, with the stored clean predictions; the last one stays loaded."""
        if self._chunk is None or self._chunk.index != index:
            images, labels = self.part.take(index)
            known = self._clean(index).facts
            if known["sample_id"].to_numpy().tolist() != self.part.ids(index).tolist():
                raise ModelRefused(f"run {self.store.folder} holds other samples; start over with --fresh")
            reference = self.setting.reference
            device = reference.device
            predictions = labels.new_tensor(known["clean_pred"].to_pylist())
            self._chunk = Chunk(
                index,
                self.part.ids(index),
                images.to(device),
                labels.to(device),
                predictions.to(device),
                usual_range(reference.logits(images[:RANGED])),
            )
        return self._chunk


def lane_units(suite: Suite, attacks: Sequence[Attack], lane: Lane) -> list[tuple[Unit, tuple[Epsilon, ...]]]:
    """The units of a lane in order, each with the epsilons it covers."""
    if lane.attack is None:
        return [(Unit(facts.CLEAN, CLEAN_UNIT, lane.chunk), ())]
    name = suite.attacks[lane.attack].id
    if attacks[lane.attack].kind in ("minimum", "decision"):
        return [(Unit(name, GRID, lane.chunk), suite.grid)]
    return [(Unit(name, epsilon.label, lane.chunk), (epsilon,)) for epsilon in suite.grid]


def all_lanes(suite: Suite, chunks: int) -> list[Lane]:
    """All lanes, chunk by chunk, the clean pass of every chunk first."""
    lanes = [Lane(None, chunk) for chunk in range(chunks)]
    return lanes + [Lane(attack, chunk) for chunk in range(chunks) for attack in range(len(suite.attacks))]
