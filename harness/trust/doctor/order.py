"""P3: do the labels number the classes as the model does? A strong model in another order only looks weak."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.base.statistics import mcnemar_one_sided
from harness.evidence.findings import REFUSED, found
from harness.types import Finding

PER_CLASS = 5
"""Images a class that the test asks for."""
MOST = 640
"""Images that are asked at most, whatever the number of classes."""
FEW_WRONG = 10
"""With fewer wrong answers no other order can be significantly better."""
ALIKE = 0.8
"""Share of the moved labels that must fit a known mistake before it is named."""
RUNS_TOLD = 6


def wanted(right: Tensor, classes: int) -> int:
    """How many images the test needs: those at hand if hardly one is wrong, else `PER_CLASS` a class, up to `MOST`."""
    n = len(right)
    return n if n - int(right.sum()) < FEW_WRONG else max(n, min(PER_CLASS * classes, MOST))


def label_order(predicted: Tensor, labels: Tensor, classes: int, logits: int, data: str) -> list[Finding]:
    """Refuse labels that fit the predictions better once they are renumbered one-to-one.

    The renumbering is chosen on one half of the images (the assignment with the most right answers, H. W. Kuhn, 1955)
    and judged on the other half, with McNemar's exact one-sided test of the images that it wins and loses; then the
    other way round. The images that choose say nothing about those that judge, so that each p value is honest however
    many renumberings there are; the smaller one is doubled for the two tries.

    Args:
        predicted: Predictions int64 [n], in the data set's fixed random order.
        labels: Labels int64 [n].
        classes: Classes of the data set.
        logits: Classes of the model, not fewer.
        data: Its name, for the message.
    """
    wrong = predicted != labels
    if int(wrong.sum()) < FEW_WRONG:
        return []
    half = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0)) % 2
    halves = [half == k for k in (0, 1)]
    best: tuple[float, int, int, int] | None = None
    for chosen, judged in (halves, halves[::-1]):
        mapping = torch.from_numpy(best_order(predicted[chosen], labels[chosen], classes, logits))
        there, here = mapping[labels[judged]] == predicted[judged], ~wrong[judged]
        p = min(1.0, 2 * mcnemar_one_sided(int((there & ~here).sum()), int((here & ~there).sum())))
        if best is None or p < best[0]:
            best = (p, int(there.sum()), int(here.sum()), int(judged.sum()))
    assert best is not None
    p, there_right, here_right, n = best
    if p >= REFUSED:
        return []
    mapping_of_all = best_order(predicted, labels, classes, logits)
    message = (
        f"the labels of {data} number the classes in another order than the model: {here_right} of {n} images are right"
        f" as they are, and {there_right} if {_spelled(mapping_of_all, predicted, labels)} (p = {p:.1g});"
        f" {_advice(mapping_of_all, predicted, labels)}"
    )
    return [found("P3", "refuse", message, p, REFUSED)]


def best_order(predicted: Tensor, labels: Tensor, classes: int, logits: int) -> NDArray[np.int64]:
    """The class [classes] that each label stands for, one-to-one, so that most predictions are right.

    Of equally good ones, that which leaves most labels as they are.
    """
    from scipy.optimize import linear_sum_assignment

    counts = np.zeros((classes, logits), dtype=np.int64)
    np.add.at(counts, (labels.numpy(), predicted.numpy()), 1)
    _, columns = linear_sum_assignment(counts * (classes + 1) + np.eye(classes, logits, dtype=np.int64), maximize=True)
    found_order: NDArray[np.int64] = np.asarray(columns, dtype=np.int64)
    return found_order


def _moved(mapping: NDArray[np.int64], predicted: Tensor, labels: Tensor) -> list[tuple[int, int]]:
    """Labels that stand for another class, with it, as far as at least one image says so."""
    seen = set(zip(labels.tolist(), predicted.tolist(), strict=True))
    return [(k, int(c)) for k, c in enumerate(mapping) if k != c and (k, int(c)) in seen]


def _spelled(mapping: NDArray[np.int64], predicted: Tensor, labels: Tensor) -> str:
    """``label 2 is class 10``; neighbors that move alike are told as one."""
    runs: list[list[tuple[int, int]]] = []
    for label, number in _moved(mapping, predicted, labels):
        if runs and runs[-1][-1] == (label - 1, number - 1):
            runs[-1].append((label, number))
        else:
            runs.append([(label, number)])
    words = [
        f"label {run[0][0]} is class {run[0][1]}"
        if len(run) == 1
        else f"labels {run[0][0]} to {run[-1][0]} are classes {run[0][1]} to {run[-1][1]}"
        for run in runs
    ]
    rest = f" and so on ({sum(map(len, runs))} labels move)" if len(words) > RUNS_TOLD else ""
    return ", ".join(words[:RUNS_TOLD]) + rest


def _advice(mapping: NDArray[np.int64], predicted: Tensor, labels: Tensor) -> str:
    moved = _moved(mapping, predicted, labels)
    as_text = sorted(range(len(mapping)), key=str)
    inverse = [as_text.index(k) for k in range(len(mapping))]

    def fits(order: Sequence[int]) -> bool:
        return sum(order[label] == number for label, number in moved) >= ALIKE * len(moved)

    if fits(as_text):
        return "they are numbers sorted as text (0, 1, 10, 11, ...); sort the class names by value"
    if fits(inverse):
        return "the model's classes are numbers sorted as text (0, 1, 10, 11, ...); order the data's classes so, too"
    steps = [number - label for label, number in moved]
    usual = max(set(steps), key=steps.count)
    if steps.count(usual) >= ALIKE * len(steps) and abs(usual) == 1:
        if usual < 0:
            return "from there on the labels are one too high; do they count from 1?"
        return "from there on the labels are one too low; is a class missing in the data set?"
    return "give the data set the model's order of classes"
