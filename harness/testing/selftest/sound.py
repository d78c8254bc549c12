"""Sound models, against which nothing may be said: false alarms teach people to ignore alarms."""

from __future__ import annotations

from harness.testing.selftest.broken import around
from harness.testing.selftest.examples import IMAGES, SEED, Example, classifier
from harness.testing.selftest.patterns import Patterns


def two_classes() -> Patterns:
    """Images of the first two classes."""
    return Patterns(IMAGES, SEED, classes=2)


def hard_labels() -> Patterns:
    """Images of which a third has another label, so that nobody can be right more often than that."""
    return Patterns(IMAGES, SEED, mislabeled=0.33)


SOUND = (
    Example("linear", "a linear classifier", lambda: classifier("linear")),
    Example("perceptron", "one hidden layer", lambda: classifier("perceptron")),
    Example("plain", "convolutions, batch norm and dropout", lambda: classifier("plain"), claim=0.99),
    Example("robust", "the same, adversarially trained", lambda: classifier("robust"), claim=0.99),
    Example("confident", "logits three times as large", lambda: around(after=lambda y: 3 * y)),
    Example("handed-over-training", "dropout in train mode until then", lambda: classifier("plain"), training=True),
    Example("two-classes", "two classes", lambda: classifier("pair"), data=two_classes),
    Example("mediocre", "two thirds right", lambda: classifier("robust"), data=hard_labels, claim=0.67),
)
