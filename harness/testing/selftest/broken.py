"""The broken defenses: they look robust or are wired wrongly, each with the checks that must object."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.testing.selftest import masks
from harness.testing.selftest.examples import IMAGES, SEED, Example, classifier, images
from harness.testing.selftest.masks import Around
from harness.testing.selftest.networks import Normalize, trained
from harness.testing.selftest.patterns import Patterns

THRESHOLD = 0.034
"""Of the detector: just above the roughness of the clean images, which is 0.027 to 0.0337."""


def around(before: masks.Change | None = None, after: masks.Change | None = None) -> nn.Module:
    """The undefended network with something before or after it."""
    return Around(classifier("plain"), before, after)


def noisy(values: Tensor, scale: float = 0.1) -> Tensor:
    """Fresh noise on top."""
    return values + scale * torch.randn_like(values)


def mislabeled() -> Patterns:
    """Images of which three in ten have another label."""
    return Patterns(IMAGES, SEED, mislabeled=0.3)


def normalized_outside() -> Patterns:
    """Images that the data set has normalized already."""
    data = images()
    data.images = Normalize()(data.images)
    return data


def saturated(logits: Tensor) -> Tensor:
    """Logits so large that their softmax is 0 or 1 in float32."""
    return 100 * logits


def probabilities(logits: Tensor) -> Tensor:
    """Their softmax."""
    return logits.softmax(1)


def shifted(logits: Tensor) -> Tensor:
    """The same softmax, all of them negative."""
    return logits - 100


def batch_mean(logits: Tensor) -> Tensor:
    """Logits relative to the batch's."""
    return logits - logits.mean(0)


BROKEN = (
    # Gradients that are hidden.
    Example("quantized", "input rounded to 16 levels", lambda: around(masks.quantized), ("P7", "P8")),
    Example("jpeg", "input through a rounded cosine transform", lambda: around(masks.jpeg), ("P7", "P8")),
    Example("zeroed", "gradients set to zero", lambda: around(masks.with_gradient(masks.zeroed)), ("P7", "P8", "P9")),
    Example("detached", "no graph from image to logits", lambda: around(Tensor.detach), ("P7",)),
    Example("nan", "gradients that are NaN", lambda: around(masks.with_gradient(masks.not_a_number)), ("P7", "P8")),
    Example("scrambled", "gradients that lead nowhere", lambda: around(masks.with_gradient(masks.scrambled)), ("P7",)),
    Example("off-grid", "gradients that vanish after one step", lambda: around(masks.flat_off_the_grid), ("P7", "P8")),
    Example("saturated", "logits times 100: a saturated softmax", lambda: around(after=saturated), ("P6", "P7")),
    Example("detector", "a threshold inside the ball", lambda: masks.Detector(classifier("plain"), THRESHOLD), ("P7",)),
    Example("overfitted", "trained on single steps only", lambda: classifier("overfitted"), ("P16",)),
    # Outputs that attacks misread, surfaces they cannot follow.
    Example("probabilities", "a softmax as output", lambda: around(after=probabilities), ("P6",)),
    Example("shifted", "logits shifted by -100", lambda: around(after=shifted), ("P6",)),
    Example("rippled", "answers that noise changes", lambda: masks.Rippled(classifier("plain"), 100, 3), ("P21",)),
    Example("rounding", "answers from the last bits", lambda: masks.Rippled(classifier("plain"), 1e8, 10), ("P2",)),
    # No function of one image.
    Example("random-input", "noise added to every input", lambda: around(noisy), ("P5",)),
    Example("random-logits", "noise added to every output", lambda: around(after=noisy), ("P5",)),
    Example("train-mode", "batch norm in train mode", lambda: masks.Training(classifier("plain")), ("P4",)),
    Example("stateful", "logits that count the queries", lambda: masks.Counting(classifier("plain")), ("P4",)),
    Example("batch-mean", "logits relative to the batch", lambda: around(after=batch_mean), ("P5",)),
    # Wired wrongly.
    Example("double-normalized", "normalized twice", lambda: nn.Sequential(Normalize(), classifier("plain")), ("P20",)),
    Example("unnormalized", "normalization forgotten", lambda: trained("plain"), ("P20",)),
    Example("outside", "images normalized by the data set", lambda: trained("plain"), ("P1",), data=normalized_outside),
    Example("0-255", "pixels from 0 to 255 expected", lambda: around(lambda x: x / 255), ("P20",)),
    Example("bgr", "channels in reverse order", lambda: around(lambda x: x.flip(1)), ("P20",)),
    Example("shuffled-labels", "classes in another order", lambda: around(after=lambda y: y.roll(1, 1)), ("P3",)),
    Example("fewer-classes", "a logit less than classes", lambda: around(after=lambda y: y[:, :5]), ("P0",)),
    Example(
        "overclaimed", "less accurate than its card", lambda: classifier("plain"), ("P3",), data=mislabeled, claim=0.99
    ),
)
