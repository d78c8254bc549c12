"""Whose images a query asks about: tools drop finished rows, and the observer must know which are left."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.base.masks import Masks
from harness.base.threat import distance, radius
from harness.types import Norm


class Matcher:
    """Matches the rows of queries to the samples under attack.

    Args:
        clean: Clean images of the samples, [n,C,H,W].
        norm: Norm of the ball.
        epsilon: Radius of the ball.
        nearest_wins: Whether the nearest witness is looked for: queries may then be outside the ball.
        masks: Where a patch may lie in each sample; None for a ball.
    """

    def __init__(
        self, clean: Tensor, norm: Norm, epsilon: float, nearest_wins: bool, masks: Masks | None = None
    ) -> None:
        self.clean, self.norm, self.nearest_wins, self.masks = clean, norm, nearest_wins, masks
        self.reach = radius(epsilon, norm)
        self.all = torch.arange(len(clean), device=clean.device)
        """What `rows_of` answers, this very tensor, where a query asks about every sample in order."""
        self._matched: dict[int, Tensor] = {}
        self._alone: Tensor | None = None
        self._owned: tuple[Tensor, Tensor, bool] | None = None
        """Of the last match that was asked for again: its rows, their clean images, and whether all are alone."""

    def rows_of(self, images: Tensor) -> Tensor | None:
        """The sample of each row of a query [m,C,H,W], int64 [m], or None where that is not certain.

        A query of all rows keeps their order. A single sample owns every row. A shorter query is matched only if each
        of its rows is inside the ball of exactly one sample, in ascending order (tools drop finished rows; they don't
        shuffle). The same match again is the same tensor.
        """
        clean = self.clean
        if images.shape[1:] != clean.shape[1:]:
            return None
        if len(images) == len(clean):
            return self.all
        if len(clean) == 1:
            return torch.zeros(len(images), dtype=torch.int64, device=clean.device)
        if len(images) > len(clean) or self.nearest_wins:
            return None
        known = self._matched.get(len(images))
        if known is not None and self._holds(images, known):
            return known
        near = self._distances(images, clean) <= self.reach
        rows = near.int().argmax(1)
        if not (bool((near.sum(1) == 1).all()) and bool((rows[1:] > rows[:-1]).all())):
            return None
        self._matched[len(images)] = rows
        return rows

    def _holds(self, images: Tensor, rows: Tensor) -> bool:
        """Whether the last match of this length is still the only one; much cheaper than matching again."""
        if self.masks is not None:  # shares of the image add up to nothing: no patch is known to meet no other
            return False
        if self._alone is None:  # samples whose balls meet no other ball
            apart = self._distances(self.clean, self.clean) > 2 * self.reach
            self._alone = (apart | torch.eye(len(apart), dtype=torch.bool, device=apart.device)).all(1)
        if self._owned is None or self._owned[0] is not rows:
            self._owned = rows, self.clean[rows], bool(self._alone[rows].all())
        _, clean, alone = self._owned
        return alone and bool((self._moved(images, clean) <= self.reach).all())

    def _moved(self, images: Tensor, clean: Tensor) -> Tensor:
        """Distances [m] of images to their own clean ones; to tell samples apart, not to judge.

        In linf float32 is enough, for nothing is summed: its rounding is a sixteenth of the slack.
        """
        if self.norm == "linf":
            return (images.detach() - clean).flatten(1).abs().amax(1)
        return distance(images, clean, self.norm)

    def _distances(self, images: Tensor, others: Tensor) -> Tensor:
        """Distances [m,n] between all rows of two sets of images; of patches to the samples."""
        if self.masks is not None:
            rows = (row.expand(len(images)) for row in self.all)
            own = [distance(images, self.clean[row], self.norm, self.masks[row]) for row in rows]
            return torch.stack(own, dim=1)
        if self.norm == "l0":
            return torch.stack([distance(images, one[None], self.norm) for one in others], dim=1)
        p = {"linf": torch.inf, "l2": 2.0, "l1": 1.0}[self.norm]
        flat = images.detach().flatten(1), others.flatten(1)
        return torch.cdist(*flat, p=p, compute_mode="donot_use_mm_for_euclid_dist")
