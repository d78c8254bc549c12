"""Is the model as good as it should be: against chance, against its card, and against other ways to feed it."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.base.statistics import binomial_at_least, mcnemar_one_sided
from harness.evidence.findings import REFUSED, against_claim, found
from harness.trust.doctor.order import label_order
from harness.trust.doctor.probe import Probe
from harness.types import Claim, Finding

NOT_CHANCE = 0.01
"""p value that clean accuracy must reach against guessing."""
ENOUGH = 64
"""Images below which guessing is not refused."""
DOUBTFUL = 1e-3


def clean_accuracy(probe: Probe, claim: Claim | None, data: str) -> list[Finding]:
    """P3: significantly above guessing (exact binomial test), and as the card says (`against_claim`).

    Guessing means to give the same answers in another order: with shares p of the predictions and q of the labels,
    sum(p q) are right. That covers shuffled labels and models that always say the same. Nothing is said where even a
    perfect model could not pass, and a small sample only warns.
    """
    right, n = int(probe.right.sum()), len(probe.labels)
    predicted = probe.logits.argmax(1)
    classes = probe.logits.shape[1]
    shares = [torch.bincount(answers, minlength=classes).double() / n for answers in (predicted, probe.labels)]
    guessed = float((shares[0] * shares[1]).sum())
    if guessed**n < NOT_CHANCE and binomial_at_least(right, n, guessed) > NOT_CHANCE:
        message = (
            f"{right} of {n} images of {data} are right, and {guessed * n:.1f} would be if the answers were shuffled;"
            " check labels, class order and weights"
        )
        return [found("P3", "refuse" if n >= ENOUGH else "warn", message, right / n, guessed)]
    return against_claim(right, n, claim, data, "refuse")


def normalization(probe: Probe) -> list[Finding]:
    """P20: no other normalization of the images may be significantly better (exact McNemar test, Bonferroni)."""
    best: tuple[float, str] | None = None
    for name, right in probe.other_inputs.items():
        here = probe.right[: len(right)]
        gained, lost = int((right & ~here).sum()), int((here & ~right).sum())
        p = min(1.0, mcnemar_one_sided(gained, lost) * len(probe.other_inputs))
        if best is None or p < best[0]:
            best = (p, name)
    if best is None or best[0] >= DOUBTFUL:
        return []
    p, name = best
    there = probe.other_inputs[name]
    message = (
        f"it seems that {name}: images treated so are right {int(there.sum())} times of {len(there)}, as they are"
        f" {int(probe.right[: len(there)].sum())} times (p = {p:.1g}); normalization belongs inside the model, once"
    )
    return [found("P20", "refuse" if p < REFUSED else "warn", message, p, DOUBTFUL)]


def accuracy_findings(
    probe: Probe, claim: Claim | None, data: str, more: tuple[Tensor, Tensor] | None = None, classes: int | None = None
) -> list[Finding]:
    """P20 first: where it speaks, it explains what P3 only states; so does an order of labels that fits better.

    Args:
        probe: What the model said.
        claim: Of its card, for this data set.
        data: The data set's name.
        more: Predictions and labels int64 of further images, for the order of the labels.
        classes: Classes of the data set; None for as many as the model has.
    """
    predicted, labels, logits = probe.logits.argmax(1), probe.labels, probe.logits.shape[1]
    if more is not None:
        predicted, labels = torch.cat([predicted, more[0]]), torch.cat([labels, more[1]])
    order = label_order(predicted, labels, classes or logits, logits, data)
    return normalization(probe) + (order or clean_accuracy(probe, claim, data))
