"""Of a run whose model is asked often: its votes cast again, on the run's own draws.

On another device the same seeds give other draws, so that counts may differ by chance. What contradicts the run is a
count that chance does not explain; an answer that flips without that is marginal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor

from harness.base.statistics import fisher
from harness.base.votes import evidence, needed
from harness.evidence.findings import REFUSED
from harness.evidence.witnesses import VOTED
from harness.inputs.draws import Draws, Poll
from harness.inputs.reference import ReferenceModel
from harness.trust.verify.verdict import Ids, Mask

ROUNDING = 1e-6
"""Of a share in float32."""
Floats = NDArray[np.float64]


def other_shares(hits: Ids, again: Ids, votes: Ids) -> Mask:
    """Which counts of `hits` and `again`, of `votes` each, are not of one share: p below `REFUSED` (exact test)."""
    pairs = zip(hits.tolist(), again.tolist(), votes.tolist(), strict=True)
    return np.array([one != two and fisher(one, of, two, of) < REFUSED for one, two, of in pairs], dtype=bool)


def clean_votes(margins: Floats, poll: Poll, labels: Tensor, draws: Draws) -> tuple[Mask, Mask]:
    """Which recorded margins [n] are no share of so many votes, and which are not the model's.

    Args:
        margins: Recorded, of clean images.
        poll: The votes here, on the CPU.
        labels: True labels, int64 [n].
        draws: How the model is asked.
    """
    own = (1 - np.nan_to_num(margins, nan=2.0)) / 2 * draws.votes
    hits = np.rint(own).astype(np.int64)
    broken = (np.abs(own - hits) > ROUNDING * draws.votes) | (hits < 0) | (hits > draws.votes)
    here = poll.votes.gather(1, labels[:, None]).squeeze(1).numpy()
    off = other_shares(np.clip(hits, 0, draws.votes), here, np.full(len(here), draws.votes))
    return broken, off & ~broken


@dataclass(frozen=True)
class Recount:
    """Votes on m witnesses.

    Attributes:
        margin: Share of the votes here that hit minus that of the others, [m].
        hit: Where most votes here hit, bool [m].
    """

    margin: Floats
    hit: Mask


def recount(
    block: pa.Table,
    images: Tensor,
    labels: Tensor,
    targets: Ids,
    reference: ReferenceModel,
    draws: Draws,
    refuse: Callable[[str, Mask, str], None],
) -> Recount:
    """Cast the votes on stored witnesses again; names those whose votes show no break, or are not the model's.

    Args:
        block: The witnesses, m of them, of one place.
        images: Their images [m,C,H,W].
        labels: True labels, int64 [m].
        targets: Target classes, below 0 where there is none.
        reference: Predicts.
        draws: How the run asked it.
        refuse: Takes check, mask and words of what is wrong.
    """
    nothing = np.zeros(len(block), bool)
    if not set(VOTED) <= set(block.column_names) or any(block[name].null_count for name in VOTED):
        refuse("votes", ~nothing, "the model is asked often, but no votes are recorded")
        return Recount(np.full(len(block), -1.0), nothing)
    votes, hits, candidate = (block[name].to_numpy() for name in VOTED)
    odd = (votes < 1) | (votes > draws.votes) | (hits < 0) | (hits > votes) | (candidate < 1) | (candidate > 2**31)
    refuse("votes", odd, f"the recorded votes are not possible with {draws.votes} of them")
    votes, hits, candidate = (np.where(odd, 1, values) for values in (votes, hits, candidate))
    rows = list(zip(hits.tolist(), votes.tolist(), candidate.tolist(), strict=True))
    weak = np.array([evidence(h, v) < needed(i, draws.level) for h, v, i in rows], dtype=bool)
    refuse("votes", weak, "the recorded votes do not show that most are wrong")
    told = (2 * hits - votes) / votes
    off = ~(np.abs(told - block["margin"].to_numpy()) <= ROUNDING)
    refuse("margin", off, "the recorded margin is not that of the recorded votes")
    again = np.zeros(len(block), np.int64)
    for row, sample in enumerate(block["sample_id"].to_pylist()):
        target = int(targets[row]) if targets[row] >= 0 else None
        image, label = images[row : row + 1], int(labels[row])
        again[row] = draws.trial(reference, image, sample, rows[row][2], label, target, votes=rows[row][1]).hits
    refuse("prediction", other_shares(hits, again, votes), "the model's votes are others than recorded")
    return Recount((2 * again - votes) / votes, 2 * again > votes)
