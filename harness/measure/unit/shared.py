"""Witnesses of an attack offered to later ones: in mode ``worst-case`` to all, else to those that come ``after``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

TRANSFER = "transfer"
"""The `source` of a fact whose witness another attack of the suite found."""


@dataclass
class Offered:
    """What earlier attacks found on a chunk: of each row, [n], the witness at its smallest epsilon."""

    epsilon: NDArray[np.float64]
    """Infinite where nothing was found."""
    distance: NDArray[np.float64]
    margin: NDArray[np.float64]
    prediction: NDArray[np.int64]

    @classmethod
    def nothing(cls, n: int) -> Offered:
        """For a chunk of `n` rows."""
        return cls(np.full(n, np.inf), np.zeros(n), np.zeros(n), np.zeros(n, np.int64))

    def take(self, found: pa.Table, at: int, n: int) -> None:
        """Add what a unit's facts say of the `n` rows from `at`; transfers and inherited ones bring nothing new."""
        whole = found.filter(pc.is_null(found["component"]))
        known = self.epsilon[at : at + n]
        for start in range(0, len(whole), n):
            here = whole.slice(start, n)
            own = pc.and_(pc.equal(here["outcome"], "witness"), pc.not_equal(here["source"], TRANSFER))
            mine = pc.fill_null(own, False).to_numpy(zero_copy_only=False).astype(bool)
            epsilon = here["epsilon"].to_numpy()
            rows = np.flatnonzero(mine & (epsilon < known))
            known[rows] = epsilon[rows]
            for name, column in (("distance", "distance"), ("margin", "margin"), ("prediction", "adv_pred")):
                getattr(self, name)[at + rows] = here[column].take(rows).to_numpy()

    def of_rows(self, rows: slice) -> Offered:
        """What is offered for some of the rows."""
        return Offered(self.epsilon[rows], self.distance[rows], self.margin[rows], self.prediction[rows])

    def within(self, epsilon: float) -> NDArray[np.bool_]:
        """Which rows are broken at `epsilon` by what is offered, bool [n]."""
        return np.asarray(self.epsilon <= epsilon)


def transferred(made: pa.Table, offered: Offered, rows: NDArray[np.bool_]) -> pa.Table:
    """Facts of a whole attack at one epsilon in which `rows`, bool [n], are broken by what is offered."""
    mask = pa.array(rows)
    values = {
        "outcome": pa.scalar("witness"),
        "reason": pa.scalar(None, pa.string()),
        "source": pa.scalar(TRANSFER),
        "distance": pa.array(offered.distance),
        "margin": pa.array(offered.margin),
        "adv_pred": pa.array(offered.prediction),
    }
    for name, value in values.items():
        column = pc.if_else(mask, value, made[name].combine_chunks())
        made = made.set_column(made.schema.get_field_index(name), made.schema.field(name), column)
    return made
