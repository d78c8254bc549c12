"""Fingerprints: rounding is no difference; other gradients, and other answers in the ball, are."""

from __future__ import annotations

import pytest
import torch
from toys import SmallNet, labeled, loaded, uniform_images

from harness.base.threat import parse_grid
from harness.inputs import fingerprint
from harness.inputs.fingerprint import Fingerprint, difference, take
from harness.inputs.reference import ReferenceModel

GRID = parse_grid(["4/255", "16/255"], "linf")
DATA = labeled(SmallNet(), 16, eight_bit=True)


def print_of(model, images=None, norm="linf"):
    with ReferenceModel(loaded(model, 5)) as reference:
        return take(reference, DATA.images if images is None else images, norm, GRID)


def test_rounding_is_no_difference_and_other_gradients_are(tmp_path):
    one = print_of(SmallNet())
    one.save(tmp_path / "print")
    assert difference(fingerprint.read(tmp_path / "print"), one) == ""
    # As another processor would answer: 1e-5 of the range, a hundred times what was measured.
    shaken = {kind: value * (1 + 1e-5) for kind, value in one.logits.items()}
    assert difference(one, Fingerprint(one.images, shaken, one.slopes)) == ""
    double = print_of(SmallNet().double().float())
    assert difference(one, double) == ""
    flat = {kind: value * 0 for kind, value in one.slopes.items()}
    assert "other gradients on 8 of 8 clean images" in difference(one, Fingerprint(one.images, one.logits, flat))
    assert "8 of 8 clean images differently" in difference(one, print_of(SmallNet(seed=1)))


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_models_that_differ_in_a_ball_only_are_told_apart(norm):
    """Behavior that sets in at a distance from the clean images, as of a detector."""

    class Far(SmallNet):
        def forward(self, images):
            near = torch.cdist(images.flatten(1), DATA.images.flatten(1)).amin(1) < 1e-6
            noised = (images - (images * 255).round() / 255).abs().amax((1, 2, 3)) > 1 / 600
            logits = super().forward(images)
            return torch.where((near | (noised & (norm == "x")))[:, None], logits, -logits)

    assert "noised images" in difference(print_of(SmallNet(), norm=norm), print_of(Far(), norm=norm))


@pytest.mark.parametrize(("norm", "order"), [("linf", torch.inf), ("l2", 2), ("l1", 1)])
@pytest.mark.parametrize("epsilon", [8 / 255, 0.5, 3.0])
def test_corners_are_as_far_as_the_ball_reaches(norm, order, epsilon):
    signs = torch.where(uniform_images(4, 0) > 0.5, 1.0, -1.0)
    step = fingerprint._step(signs, norm, epsilon)
    lengths = torch.linalg.vector_norm(step.flatten(1), order, dim=1)
    torch.testing.assert_close(lengths, torch.full((4,), float(epsilon)))
