"""What has been found so far, one row for each sample under attack."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.base.masks import Masks
from harness.base.threat import distance, inside_ball, inside_box
from harness.inputs.reference import ReferenceModel, marginal, margins, target_margins
from harness.types import Kind, Norm

QUERY, RETURNED = 0, 1
SOURCES = ("query", "returned")


class WitnessBoard:
    """Judges candidates and keeps the best witness of every row.

    A witness is accepted only after its distance and box were measured here and the reference predicted it again. For
    fixed balls the first witness is kept until one with a safer margin comes along; for minimum-norm attacks the
    nearest is.

    Args:
        reference: Decides.
        images: Clean images, float32 [n,C,H,W], on the reference's device.
        labels: True labels, int64 [n].
        norm: Norm of the ball.
        epsilon: Radius of the ball.
        kind: Kind of the attack.
        targets: Target classes [n]; success is then the target, not any wrong class.
        usual: The model's `harness.inputs.reference.usual_range`; what `safe` is judged by.
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
        masks: Masks | None = None,
    ) -> None:
        self.reference, self.clean, self.labels, self.targets = reference, images, labels, targets
        self.usual, self.masks = usual, masks
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
        self.doubted = torch.zeros(n, dtype=torch.bool, device=device)
        """Rows for which a query was proposed that the reference did not confirm."""
        self.n_safe = 0
        """How many rows are safe, known on the host: asking costs no synchronization with the device."""
        self.confirmations = 0
        """Rows the reference predicted to confirm or refute a proposal."""
        self.unconfirmed = 0
        """Proposals that the reference did not confirm."""

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
        logits = self.reference.logits(images)
        self.confirmations += len(rows)
        predictions = logits.argmax(1)
        good = self.broken(predictions, rows)
        if source == QUERY and (doubted := rows[(~good).nonzero().squeeze(1)]).numel():
            self.unconfirmed += len(doubted)
            self.doubted[doubted] = True
        gain = (
            target_margins(logits, self.targets[rows])
            if self.targets is not None
            else margins(logits, self.labels[rows])
        )
        good &= reach < self.distance[rows] if self.nearest_wins else gain > self.margin[rows]
        keep = good.nonzero().squeeze(1)
        if not len(keep):
            return
        keep = self._best_of_each(keep, rows, reach if self.nearest_wins else -gain.double())
        into = rows[keep]
        self.images[into] = images[keep]
        self.distance[into] = reach[keep]
        self.margin[into] = gain[keep]
        self.prediction[into] = predictions[keep]
        self.source[into] = source
        self.query[into] = query
        self.restart[into] = restart
        self.found[into] = True
        self.safe[into] = ~marginal(logits[keep], gain[keep], self.usual)
        self.n_safe = int(self.safe.sum())

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
