"""One stored witness after the other: the fact it belongs to, ball, box, and what the model makes of it here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.base.masks import Masks
from harness.base.modes import MODES
from harness.base.threat import distance, inside_ball, inside_box
from harness.evidence import witnesses
from harness.evidence.facts import CLEAN
from harness.inputs.draws import recorded_draws
from harness.inputs.reference import MARGINAL, ReferenceModel, margins, target_margins, usual_range
from harness.trust.verify.places import CountedRun, Place, Rows
from harness.trust.verify.verdict import Contradictions, Ids, Marginal, Mask, samples
from harness.trust.verify.votes import recount

BLOCK = 1024
"""Witnesses decoded at once."""
EXACT = 1e-9
"""Of float64 distances of the same images on two devices, only the order of the sums may differ."""
_TOLD = ("distance", "margin", "adv_pred")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tau:
    """The margin below which devices may disagree: `harness.inputs.reference.MARGINAL` of the logit range.

    The range is the sample's own or, if that is larger, the usual one of the model: with two classes a sample at the
    boundary has a range of nothing, and rounding does not shrink with it.
    """

    usual: float

    @classmethod
    def of(cls, logits: Tensor) -> Tau:
        """From the logits of all clean images, [n,K]."""
        return cls(usual_range(logits))

    def __call__(self, logits: Tensor) -> Floats:
        """One limit a row, [m], of logits [m,K]."""
        spread: Floats = (logits.amax(1) - logits.amin(1)).double().numpy()
        return MARGINAL * np.maximum(spread, self.usual)


@dataclass(frozen=True)
class Judged:
    """Some witnesses of one place.

    Attributes:
        at: Position of each among the run's samples, int [m].
        holds: Which prove their break here, bool [m].
        marginals: Those within tau.
    """

    at: Ids
    holds: Mask
    marginals: list[Marginal]


def known_blocks(
    table: pa.Table, records: CountedRun, seen: set[tuple[Any, ...]], problems: Contradictions
) -> Iterator[tuple[Place, pa.Table]]:
    """Witnesses of one shard by the place they belong to; those of none, and second ones, are named and left out."""
    nulls = [name for name in witnesses.SCHEMA.names if name != "component" and table[name].null_count]
    if nulls:
        problems.add("witness", f"{table[nulls[0]].null_count} witnesses have no {nulls[0]}")
        return
    steps = {epsilon.value: at for at, epsilon in enumerate(records.grid)}
    known = set(records.ids.tolist())
    halved = _halved(records)
    groups: dict[Place, list[int]] = {}
    homeless: dict[tuple[Any, ...], list[int]] = {}
    twice: dict[str, list[int]] = {}
    keys = (table[name].to_pylist() for name in ("sample_id", "attack", "component", "epsilon"))
    for row, (sample, attack, component, epsilon) in enumerate(zip(*keys, strict=True)):
        place = (attack, component, steps.get(epsilon, -1))
        once: tuple[Any, ...] = (sample,) if records.info.witnesses == "worst" else (sample, attack, component)
        if attack in halved and len(once) > 1:  # a large epsilon is tried before a smaller one
            once = (*once, epsilon)
        if place not in records.rows or attack == CLEAN or sample not in known:
            homeless.setdefault((attack, component, epsilon), []).append(sample)
        elif once in seen:
            twice.setdefault(attack, []).append(sample)
        else:
            seen.add(once)
            groups.setdefault(place, []).append(row)
    for (attack, component, epsilon), which in homeless.items():
        where = f"attack {attack!r:.40}, component {component!r:.40}, epsilon {epsilon}, {samples(which)}"
        what = "a witness belongs" if len(which) == 1 else "witnesses belong"
        problems.add("witness", f"{what} to no fact of the run ({where})")
    for attack, which in twice.items():
        problems.add("witness", f"two witnesses of {attack} where the run keeps one ({samples(which)})")
    for place, rows in groups.items():
        for start in range(0, len(rows), BLOCK):
            yield place, table.take(rows[start : start + BLOCK])


def judge(
    block: pa.Table,
    place: Place,
    records: CountedRun,
    clean: Tensor,
    labels: Tensor,
    reference: ReferenceModel,
    tau: Tau,
    problems: Contradictions,
    masks: Masks | None = None,
) -> Judged:
    """Judge witnesses of one place; names those that do not show what they claim.

    Args:
        block: The witnesses, m of them.
        place: Attack, component and epsilon they belong to.
        records: The run's facts.
        clean: Their clean images [m,C,H,W].
        labels: Their true labels, int64 [m].
        reference: Predicts.
        tau: Says what is marginal.
        problems: Takes what is wrong.
        masks: Where a patch may lie in each of them; None for a ball.
    """
    ids, epsilon, norm = block["sample_id"].to_numpy(), records.grid[place[2]], records.info.suite.norm
    at = np.searchsorted(records.ids, ids)
    rows = {column: values[at] for column, values in records.rows[place].items()}
    told = {column: block[column].to_numpy() for column in _TOLD}
    bad = np.zeros(len(ids), bool)

    def refuse(check: str, mask: Mask, what: str) -> None:
        """Name the rows of `mask` that were not named before."""
        problems.rows(check, f"witness of {records.name(place)}", ids, mask & ~bad, what)
        np.logical_or(bad, mask, out=bad)

    refuse("witness", rows["outcome"] != "witness", "stored, but the fact is not a witness")
    same = np.all([told[column] == rows[column] for column in _TOLD], axis=0)
    refuse("witness", ~same, "distance, margin or prediction are not those of the fact")
    if place[0] not in _halved(records):
        refuse("witness", _earlier(records, place, at), "not stored at the smallest epsilon it was found at")
    images, sized = _decode(block["image"].to_pylist(), clean)
    refuse("witness", ~sized, "the image has another size")
    boxed = inside_box(images).numpy()
    refuse("box", ~boxed, "a pixel is outside [0,1]")
    reach = distance(images, clean, norm, masks)
    region = "a pixel outside the mask changed, at" if masks is not None else "the image is outside the ball of"
    refuse("ball", ~inside_ball(reach, epsilon.value, norm).numpy(), f"{region} {epsilon}")
    near = np.isclose(reach.numpy(), told["distance"], rtol=EXACT, atol=EXACT)
    refuse("ball", ~near, "the recorded distance is not the image's")

    images[torch.from_numpy(~boxed)] = 0.5  # what is no image is not shown to the model
    refuse("target", rows["target"] >= reference.num_classes, "the target is no class of the model")
    if (draws := recorded_draws(records.info.randomness, records.info.seed)) is not None:
        votes = recount(block, images, labels, rows["target"], reference, draws, refuse)
        margin, hit, unsure = votes.margin, votes.hit, ~votes.hit
    else:
        logits = reference.logits(images).cpu()
        margin, hit = _success(logits, labels, rows)
        limit = tau(logits)
        unsure = margin < limit
        close = np.maximum(np.abs(margin), told["margin"]) < limit
        refuse("prediction", ~hit & ~close, "the model does not misclassify it (as the target, if there is one)")
        refuse("margin", ~(np.abs(margin - told["margin"]) <= limit), "the recorded margin is not the model's")
        refuse("prediction", gap(logits, told["adv_pred"]) >= limit, "the model predicts another class than recorded")
    marginals = [
        Marginal(
            sample_id=int(ids[row]),
            attack=place[0],
            epsilon_label=epsilon.label,
            recorded=float(told["margin"][row]),
            here=float(margin[row]),
            flipped=not hit[row],
        )
        for row in np.flatnonzero(~bad & unsure)
    ]
    return Judged(at, ~bad & hit, marginals)


def logit_of(logits: Tensor, classes: Ids) -> Floats:
    """The logit of one class a row, [n]; minus infinity where it is no class."""
    inside = (classes >= 0) & (classes < logits.shape[1])
    picked = logits.gather(1, torch.from_numpy(np.where(inside, classes, 0))[:, None]).squeeze(1).double().numpy()
    found: Floats = np.where(inside, picked, -np.inf)
    return found


def gap(logits: Tensor, classes: Ids) -> Floats:
    """By how much the best logit is above that of `classes`, [n]; infinite where it is no class."""
    found: Floats = logits.amax(1).double().numpy() - logit_of(logits, classes)
    return found


def _success(logits: Tensor, labels: Tensor, rows: Rows) -> tuple[Floats, Mask]:
    """Margin of each row, and whether it is what the attack wants: the target where there is one, else any wrong."""
    aimed = torch.from_numpy(rows["target"] >= 0)
    goal = torch.from_numpy(rows["target"].copy()).clamp(0, logits.shape[1] - 1)
    margin = torch.where(aimed, target_margins(logits, goal), margins(logits, labels))
    prediction = logits.argmax(1)
    hit = torch.where(aimed, prediction == goal, prediction != labels)
    return margin.double().numpy(), hit.numpy()


def _halved(records: CountedRun) -> set[str]:
    """Attacks that store a witness at each epsilon they tried, in the order of mode ``bisection``."""
    return {attack.id for attack in records.attacks if MODES[records.info.mode].halves_of(attack)}


def _earlier(records: CountedRun, place: Place, at: Ids) -> Mask:
    """Which samples have a witness of the same attack or component at a smaller epsilon, bool [m]."""
    found = np.zeros(len(at), bool)
    for step in range(place[2]):
        if (rows := records.rows.get((place[0], place[1], step))) is not None:
            found |= rows["outcome"][at] == "witness"
    return found


def _decode(blobs: list[bytes], clean: Tensor) -> tuple[Tensor, Mask]:
    """The images, and which of them have the size of one; the others are NaN."""
    size = clean[0].numel() * 4
    sized = np.array([len(blob) == size for blob in blobs], dtype=bool)
    images = witnesses.decode([blob if fits else bytes(size) for blob, fits in zip(blobs, sized, strict=True)], clean)
    images[torch.from_numpy(~sized)] = torch.nan
    return images, sized
