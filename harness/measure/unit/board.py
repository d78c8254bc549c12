"""What has been found so far, one row for each sample under attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness.base.masks import Masks
from harness.base.threat import distance, inside_ball, inside_box
from harness.inputs.draws import Draws
from harness.inputs.reference import ReferenceModel, marginal, margins, target_margins
from harness.types import Kind, Norm

_ROWS = (
    "found",
    "safe",
    "distance",
    "margin",
    "prediction",
    "source",
    "query",
    "restart",
    "doubted",
    "votes",
    "hits",
    "candidate",
)
_SUMS = ("n_safe", "confirmations", "unconfirmed")
QUERY, RETURNED = 0, 1
SOURCES = ("query", "returned")


@dataclass(frozen=True)
class Judged:
    """What the reference makes of m candidates."""

    good: Tensor
    """Which are what the attack wants, bool [m]."""
    predictions: Tensor
    """Int64 [m]."""
    gain: Tensor
    """By how much each is won, [m]."""
    safe: Tensor
    """Which would be so on another device, too, bool [m]."""
    ballots: Tensor | None = None
    """Of a model that is asked often: votes, hits and number of each candidate, int64 [m,3]; 0 where none was cast."""

    @property
    def refuted(self) -> Tensor:
        """Which were predicted and are not what the attack wants, bool [m]."""
        return ~self.good if self.ballots is None else ~self.good & (self.ballots[:, 0] > 0)


class WitnessBoard:
    """Judges candidates and keeps the best witness of every row.

    A witness is accepted only after its distance and box were measured here and the reference predicted it again. For
    fixed balls the first witness is kept until one with a safer margin comes along; for minimum-norm attacks the
    nearest is. Of a model that is asked often, the reference predicts a candidate until it is settled, and a witness is
    safe at once: the margin by which a vote must be won is part of the test.

    Args:
        reference: Decides.
        images: Clean images, float32 [n,C,H,W], on the reference's device.
        labels: True labels, int64 [n].
        norm: Norm of the ball.
        epsilon: Radius of the ball.
        kind: Kind of the attack.
        targets: Target classes [n]; success is then the target, not any wrong class.
        usual: The model's `harness.inputs.reference.usual_range`; what `safe` is judged by.
        draws: How a randomized model is asked; None for one forward.
        samples: Ids of the samples, [n]; its draws hang on them.
        masks: Where a patch may lie in each row; None for a ball. `epsilon` is then the share that it covers.
    """

    def __init__(
        self,
        reference: ReferenceModel,
        images: Tensor,
        labels: Tensor,
        norm: Norm,
        epsilon: float,
        kind: Kind = "budget",
        targets: Tensor | None = None,
        usual: float = 0.0,
        draws: Draws | None = None,
        samples: Sequence[int] = (),
        masks: Masks | None = None,
    ) -> None:
        self.reference, self.clean, self.labels, self.targets = reference, images, labels, targets
        self.usual, self.draws, self.samples, self.masks = usual, draws, samples, masks
        self.norm, self.epsilon, self.nearest_wins = norm, epsilon, kind in ("minimum", "decision")
        n, device = len(images), images.device
        self.found = torch.zeros(n, dtype=torch.bool, device=device)
        self.safe = torch.zeros(n, dtype=torch.bool, device=device)
        self.images = torch.zeros_like(images)
        self.distance = torch.full((n,), torch.inf, dtype=torch.float64, device=device)
        self.margin = torch.full((n,), -torch.inf, device=device)
        self.prediction = torch.full((n,), -1, dtype=torch.int64, device=device)
        self.source = torch.full((n,), -1, dtype=torch.int64, device=device)
        self.query = torch.full((n,), -1, dtype=torch.int64, device=device)
        self.restart = torch.zeros(n, dtype=torch.int64, device=device)
        self.votes, self.hits, self.candidate = (torch.zeros_like(self.restart) for _ in range(3))
        """Of a witness that was voted on: the votes cast, those that hit, and which candidate of its sample it was."""
        self.tried = [0] * n
        """How many candidates of each row were put to a vote."""
        self.doubted = torch.zeros(n, dtype=torch.bool, device=device)
        """Rows for which a query was proposed that the reference did not confirm."""
        self.n_safe = 0
        """How many rows are safe, known on the host: asking costs no synchronization with the device."""
        self.confirmations = 0
        """Rows the reference predicted to confirm or refute a proposal."""
        self.unconfirmed = 0
        """Proposals that the reference did not confirm."""

    def state(self) -> dict[str, Any]:
        """Everything found so far; images of found rows alone."""
        kept: dict[str, Any] = {name: getattr(self, name).cpu().numpy() for name in _ROWS}
        kept |= {name: getattr(self, name) for name in _SUMS}
        return kept | {"images": self.images[self.found].cpu().numpy(), "tried": self.tried}

    def go_on(self, kept: Mapping[str, Any]) -> None:
        """Take up what `state` told of a board of the same rows."""
        for name in _ROWS:
            getattr(self, name).copy_(torch.from_numpy(kept[name]))
        for name in _SUMS:
            setattr(self, name, kept[name])
        self.tried[:] = kept["tried"]  # two boards may count in one list
        self.images[self.found] = torch.from_numpy(kept["images"]).to(self.images.device)

    def broken(self, predictions: Tensor, rows: Tensor) -> Tensor:
        """Which predictions [m], made for `rows` [m], are what the attack wants."""
        return predictions != self.labels[rows] if self.targets is None else predictions == self.targets[rows]

    def reach(self, images: Tensor, rows: Tensor) -> Tensor:
        """How far `images` [m,C,H,W] are from the clean ones of `rows` [m], float64 [m]."""
        masks = None if self.masks is None else self.masks[rows]
        return distance(images, self.clean[rows], self.norm, masks)

    def offer(self, images: Tensor, rows: Tensor, source: int, query: int, restart: int) -> None:
        """Judge candidates: `images` [m,C,H,W] for `rows` [m] (a row may come more than once)."""
        reach = self.reach(images, rows)
        useful = inside_ball(reach, self.epsilon, self.norm) & inside_box(images)
        useful &= reach < self.distance[rows] if self.nearest_wins else ~self.safe[rows]
        pick = useful.nonzero().squeeze(1)
        if not len(pick):
            return
        images, rows, reach = images.detach()[pick].float(), rows[pick], reach[pick]
        judged = self._asked(images, rows) if self.draws is None else self._voted(images, rows, reach, self.draws)
        if source == QUERY and (doubted := rows[judged.refuted.nonzero().squeeze(1)]).numel():
            self.unconfirmed += len(doubted)
            self.doubted[doubted] = True
        gain = judged.gain
        better = reach < self.distance[rows] if self.nearest_wins else gain > self.margin[rows]
        keep = (judged.good & better).nonzero().squeeze(1)
        if not len(keep):
            return
        keep = self._best_of_each(keep, rows, reach if self.nearest_wins else -gain.double())
        into = rows[keep]
        self.images[into] = images[keep]
        self.distance[into] = reach[keep]
        self.margin[into] = gain[keep]
        self.prediction[into] = judged.predictions[keep]
        self.source[into] = source
        self.query[into] = query
        self.restart[into] = restart
        self.found[into] = True
        self.safe[into] = judged.safe[keep]
        self.n_safe = int(self.safe.sum())
        if judged.ballots is not None:
            self.votes[into], self.hits[into], self.candidate[into] = judged.ballots[keep].unbind(1)

    def _asked(self, images: Tensor, rows: Tensor) -> Judged:
        """Candidates [m,C,H,W] for `rows` [m], predicted once."""
        logits = self.reference.logits(images)
        self.confirmations += len(rows)
        predictions = logits.argmax(1)
        gain = (
            target_margins(logits, self.targets[rows])
            if self.targets is not None
            else margins(logits, self.labels[rows])
        )
        return Judged(self.broken(predictions, rows), predictions, gain, ~marginal(logits, gain, self.usual))

    def _voted(self, images: Tensor, rows: Tensor, reach: Tensor, draws: Draws) -> Judged:
        """The same, each put to a vote, the nearest first; of several for one row, none behind the first witness."""
        n, where, won = len(rows), rows.tolist(), set[int]()
        good, predictions, gain = [False] * n, [-1] * n, [-1.0] * n
        ballots = [(0, 0, 0)] * n
        for place in reach.argsort(stable=True).tolist() if self.nearest_wins else range(n):
            if (row := where[place]) in won:
                continue
            self.tried[row] += 1
            target = None if self.targets is None else int(self.targets[row])
            trial = draws.trial(
                self.reference,
                images[place : place + 1],
                int(self.samples[row]),
                self.tried[row],
                int(self.labels[row]),
                target,
            )
            self.confirmations += trial.votes
            good[place], predictions[place], gain[place] = trial.accepted, trial.prediction, trial.margin
            ballots[place] = trial.votes, trial.hits, self.tried[row]
            if trial.accepted:
                won.add(row)
        device = rows.device
        accepted = torch.tensor(good, device=device)
        return Judged(
            accepted,
            torch.tensor(predictions, device=device),
            torch.tensor(gain, device=device),
            accepted,
            torch.tensor(ballots, device=device),
        )

    @staticmethod
    def _best_of_each(keep: Tensor, rows: Tensor, cost: Tensor) -> Tensor:
        """Of several candidates for one row, the one of least cost."""
        if len(keep) < 2 or bool((rows[keep][1:] > rows[keep][:-1]).all()):  # ascending, so each row comes once
            return keep
        order = keep[cost[keep].argsort(stable=True)]
        best: dict[int, int] = {}
        for position, row in zip(order.tolist(), rows[order].tolist(), strict=True):
            best.setdefault(row, position)
        return torch.tensor(sorted(best.values(), key=lambda p: int(rows[p])), device=keep.device)
