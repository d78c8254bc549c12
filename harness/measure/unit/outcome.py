"""A pass: one component of one attack over a chunk; how its outcome becomes facts and witnesses. No tool runs here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from harness.base.masks import Masks
from harness.base.threat import Epsilon, radius
from harness.evidence import facts, witnesses
from harness.evidence.facts import NO_GRADIENT, broken_rows, of_whole
from harness.measure.unit.board import SOURCES, WitnessBoard
from harness.measure.unit.observer import ObservedModel
from harness.measure.unit.shared import Offered, transferred
from harness.types import Norm

BOARD: dict[str, type] = {
    "distance": np.float64,
    "margin": np.float64,
    "prediction": np.int64,
    "source": np.int64,
    "query": np.int64,
    "restart": np.int64,
    **dict.fromkeys(witnesses.VOTED, np.int64),
}
"""What a pass keeps of the witness board, by attribute name."""
COUNTS = ("forwards", "backwards", "dead_gradients")
"""What the observer counts for each sample, by attribute name; columns of the facts."""
INHERITED = ("source", "query_index", "restart", "distance", "margin", "adv_pred")


@dataclass(kw_only=True)
class Chunk:
    """Consecutive samples of the slice, with what the reference says of them unperturbed."""

    index: int
    sample_ids: np.ndarray
    images: Tensor
    labels: Tensor
    clean_pred: Tensor
    usual_range: float = 0.0
    """The model's, see `harness.inputs.reference.usual_range`."""
    masks: Masks | None = None
    """Where a patch may lie; None for a ball."""

    @property
    def correct(self) -> np.ndarray:
        """Which rows are classified correctly, bool [n]."""
        return (self.clean_pred == self.labels).cpu().numpy()


@dataclass(kw_only=True)
class ComponentOutcome:
    """What one component did to the chunk: everything on the CPU, one entry for each chunk row."""

    outcome: np.ndarray
    reason: np.ndarray
    board: dict[str, np.ndarray]
    images: Tensor
    forwards: np.ndarray
    backwards: np.ndarray
    dead_gradients: np.ndarray
    targets: np.ndarray | None = None

    @classmethod
    def over(cls, chunk: Chunk, alive: np.ndarray) -> ComponentOutcome:
        """A pass before it ran: rows in `alive`, bool [n], are to be attacked and have survived so far."""
        n, correct = len(alive), chunk.correct
        outcome = np.where(correct, np.where(alive, "survived", "not_run"), "clean_wrong").astype(object)
        reason = np.full(n, None, dtype=object)
        reason[correct & ~alive] = "cascade"
        return cls(
            outcome=outcome,
            reason=reason,
            board={name: np.zeros(n, dtype) for name, dtype in BOARD.items()},
            images=torch.zeros_like(chunk.images, device="cpu"),
            **{name: np.zeros(n, np.int64) for name in COUNTS},
        )

    def state(self) -> dict[str, Any]:
        """Everything it holds; images of witnesses alone."""
        kept = {name: getattr(self, name) for name in (*COUNTS, "board", "targets")}
        broken = torch.from_numpy(self.outcome == "witness")
        told = {name: getattr(self, name).tolist() for name in ("outcome", "reason")}
        return kept | told | {"images": self.images[broken].numpy()}

    @classmethod
    def of(cls, kept: Mapping[str, Any], chunk: Chunk) -> ComponentOutcome:
        """The pass over the chunk of which `state` told."""
        outcome, reason = (np.array(kept[name], dtype=object) for name in ("outcome", "reason"))
        images = torch.zeros_like(chunk.images, device="cpu")
        images[torch.from_numpy(outcome == "witness")] = torch.from_numpy(kept["images"])
        others = {name: kept[name] for name in (*COUNTS, "board", "targets")}
        return cls(outcome=outcome, reason=reason, images=images, **others)

    def note(self, rows: np.ndarray, board: WitnessBoard, observer: ObservedModel) -> None:
        """Take over what was found for `rows` (chunk rows, in the board's order) and what it took."""
        found = board.found.cpu().numpy()
        for name in BOARD:
            self.board[name][rows] = getattr(board, name).cpu().numpy()
        self.outcome[rows[found]] = "witness"
        self.images[torch.from_numpy(rows[found])] = board.images[board.found].cpu()
        for name in COUNTS:
            getattr(self, name)[rows] += getattr(observer, name).cpu().numpy()

    def lose(self, rows: np.ndarray, outcome: str, reason: str) -> None:
        """Say of `rows` that are not broken that nothing is known; witnesses found before a failure stand."""
        lost = rows[self.outcome[rows] == "survived"]
        self.outcome[lost], self.reason[lost] = outcome, reason

    def void(self, outcome: str, reason: str) -> None:
        """Say of all rows that were attacked that nothing is known, witnesses included."""
        lost = np.isin(self.outcome, ("survived", "witness"))
        self.outcome[lost], self.reason[lost] = outcome, reason


def union(passes: Sequence[ComponentOutcome]) -> ComponentOutcome:
    """The cascade's own outcome: the first component's witness; not known where one failed and none broke."""
    first = passes[0]
    if len(passes) == 1:
        return first
    whole = ComponentOutcome(
        outcome=first.outcome.copy(),
        reason=first.reason.copy(),
        board={name: values.copy() for name, values in first.board.items()},
        images=first.images,
        forwards=np.sum([done.forwards for done in passes], axis=0),
        backwards=np.sum([done.backwards for done in passes], axis=0),
        dead_gradients=np.sum([done.dead_gradients for done in passes], axis=0),
        targets=first.targets,
    )
    for later in passes[1:]:
        better = (later.outcome == "witness") & (whole.outcome != "witness")
        for name, values in whole.board.items():
            values[better] = later.board[name][better]
        whole.outcome[better], whole.reason[better] = "witness", None
        # Of two reasons the one that nothing makes up for.
        milder = (whole.outcome == "survived") | (whole.reason == NO_GRADIENT)
        failed = np.isin(later.outcome, ("error", "not_run")) & milder
        whole.outcome[failed], whole.reason[failed] = later.outcome[failed], later.reason[failed]
    return whole


def merge(queries: WitnessBoard, returned: WitnessBoard) -> WitnessBoard:
    """What was returned, where it is a witness; else the best query. Of minimum-norm attacks, the nearer of the two."""
    take = queries.found & ~returned.found
    if queries.nearest_wins:
        take |= queries.found & (queries.distance < returned.distance)
    for name in ("images", *BOARD):
        getattr(returned, name)[take] = getattr(queries, name)[take]
    if not queries.nearest_wins:  # what is returned was found when a query first hit
        for name in ("query", "restart"):
            getattr(returned, name)[queries.found] = getattr(queries, name)[queries.found]
    returned.found |= queries.found
    returned.unconfirmed += queries.unconfirmed
    return returned


def fact_table(
    done: ComponentOutcome,
    chunk: Chunk,
    attack: str,
    component: str | None,
    grid: Sequence[Epsilon],
    norm: Norm,
    before: pa.Table | None,
    offered: Offered | None = None,
    implied: np.ndarray | None = None,
) -> pa.Table:
    """Facts of one pass at every epsilon of `grid`.

    The whole attack inherits from the facts `before`, and takes over what other attacks have `offered`; rows in
    `implied`, bool [n], survived a larger epsilon.
    """
    inherited = np.zeros(len(done.outcome), dtype=bool)
    if component is None and before is not None:
        inherited = broken_rows(before, len(inherited))
    tables = []
    for place, epsilon in enumerate(grid):
        outcome, reason = done.outcome.copy(), done.reason.copy()
        reached = (outcome == "witness") & (done.board["distance"] <= radius(epsilon.value, norm))
        outcome[(outcome == "witness") & ~reached] = "survived"
        if component is None and implied is not None:
            stood = implied & chunk.correct
            outcome[stood], reason[stood] = "survived", facts.IMPLIED
        outcome[inherited], reason[inherited] = "inherited", None
        paid = place == len(grid) - 1  # an attack that runs once for the grid is paid for once
        columns: dict[str, object] = {
            "sample_id": chunk.sample_ids,
            "label": chunk.labels.cpu().numpy(),
            "attack": attack,
            "component": component,
            "target": done.targets,
            "epsilon": epsilon.value,
            "epsilon_label": epsilon.label,
            "outcome": outcome.tolist(),
            "reason": reason.tolist(),
            "source": [SOURCES[s] if r else None for s, r in zip(done.board["source"], reached, strict=True)],
            "query_index": np.ma.array(done.board["query"], mask=~reached | (done.board["query"] < 0)),
            "restart": np.ma.array(done.board["restart"], mask=~reached),
            "distance": np.ma.array(done.board["distance"], mask=~reached),
            "margin": np.ma.array(done.board["margin"], mask=~reached),
            "clean_pred": chunk.clean_pred.cpu().numpy(),
            "adv_pred": np.ma.array(done.board["prediction"], mask=~reached),
        }
        for name in COUNTS:
            spent = getattr(done, name)
            columns[name] = spent if paid else np.zeros_like(spent)
        made = facts.table(len(outcome), columns)
        if before is not None and inherited.any():
            made = _inherit(made, before, inherited)
        if component is None and offered is not None:
            made = transferred(made, offered, offered.within(epsilon.value) & chunk.correct & ~inherited)
        tables.append(made)
    return facts.concat(tables)


def witness_table(
    done: ComponentOutcome,
    chunk: Chunk,
    attack: str,
    component: str | None,
    grid: Sequence[Epsilon],
    norm: Norm,
    stored: np.ndarray,
    offered: Offered | None = None,
) -> pa.Table:
    """The pass's witnesses, each at the smallest epsilon that holds it.

    Without those of rows in `stored`, bool [n], and those at an epsilon at which another attack's was `offered`.
    """
    rows = np.flatnonzero((done.outcome == "witness") & ~stored)
    values = np.array([epsilon.value for epsilon in grid])
    radii = [radius(value, norm) for value in values]
    if offered is not None:
        rows = rows[offered.epsilon[rows] > values[np.searchsorted(radii, done.board["distance"][rows])]]
    pick = torch.from_numpy(rows)
    distances = done.board["distance"][rows]
    place = np.searchsorted(radii, distances)
    clean = chunk.images[pick.to(chunk.images.device)].cpu()
    voted = bool((done.board["votes"][rows] > 0).any())
    columns = [
        pa.array(chunk.sample_ids[rows], pa.int64()),
        pa.array([attack] * len(rows), pa.string()),
        pa.array([component] * len(rows), pa.string()),
        pa.array(values[place], pa.float64()),
        pa.array(distances, pa.float64()),
        pa.array(done.board["margin"][rows], pa.float64()),
        pa.array(done.board["prediction"][rows], pa.int64()),
        pa.array(witnesses.encode(done.images[pick], clean), pa.binary()),
        *(pa.array(done.board[name][rows], pa.int64()) for name in (witnesses.VOTED if voted else ())),
    ]
    return pa.Table.from_arrays(columns, schema=witnesses.SCHEMA_VOTED if voted else witnesses.SCHEMA)


def _inherit(made: pa.Table, before: pa.Table, inherited: np.ndarray) -> pa.Table:
    """Copy what is known of the inherited witnesses, and the epsilon they come from."""
    whole = of_whole(before)
    mask = pa.array(inherited)
    origin = pc.coalesce(whole["origin_epsilon"], whole["epsilon"])
    for name in ("origin_epsilon", *INHERITED):
        known = (origin if name == "origin_epsilon" else whole[name]).combine_chunks()
        column = pc.if_else(mask, known, made[name].combine_chunks())
        made = made.set_column(made.schema.get_field_index(name), made.schema.field(name), column)
    return made
