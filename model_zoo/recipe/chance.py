"""Whether a finished training has learned anything to speak of."""

from __future__ import annotations

from collections import Counter

from harness.types import Dataset

LITTLE = 0.2
"""Share of the way from guessing to certainty below which a training is said to have learned little."""
_BATCH = 256


def guessing(data: Dataset) -> float:
    """Accuracy of always naming the most frequent class of `data`."""
    counts: Counter[int] = Counter()
    for start in range(0, len(data), _BATCH):
        counts.update(data.take(range(start, min(start + _BATCH, len(data))))[1].tolist())
    return max(counts.values(), default=0) / max(len(data), 1)


def near_chance(accuracy: float, data: Dataset) -> str | None:
    """One line if `accuracy` on `data` is little better than guessing, else None.

    With g from `guessing` it is little if (accuracy - g) / (1 - g) < 0.2: below 22 % with 43 balanced classes, below
    60 % with two.
    """
    guessed = guessing(data)
    if guessed >= 1 or (accuracy - guessed) / (1 - guessed) >= LITTLE:
        return None
    return (
        f"little better than guessing: {100 * accuracy:.1f} % of {data.name} are right, always naming its most frequent"
        f" class gives {100 * guessed:.1f} %; train longer (--epochs) or from trained weights (--init standard)"
    )
