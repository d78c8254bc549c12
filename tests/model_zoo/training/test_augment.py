"""Augmentation keeps to images, draws for each image anew, and never mirrors."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harness.errors import UsageError
from model_zoo.training.augment import Augmentation


def test_strength_zero_changes_nothing() -> None:
    images = torch.rand(4, 3, 32, 32)
    torch.testing.assert_close(Augmentation.of_strength(0)(images), images, rtol=0, atol=1e-5)


def test_images_stay_images_and_differ_from_each_other() -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 3, 32, 32)
    out = Augmentation()(image.expand(16, 3, 32, 32))
    assert out.shape == (16, 3, 32, 32)
    assert torch.isfinite(out).all()
    assert out.min() >= 0
    assert out.max() <= 1
    differences = (out[:, None] - out[None]).abs().amax(dim=(2, 3, 4)) + torch.eye(16)
    assert differences.min() > 0.01


def test_the_seed_decides() -> None:
    images = torch.rand(4, 3, 32, 32)
    torch.manual_seed(5)
    first = Augmentation()(images)
    torch.manual_seed(5)
    assert torch.equal(Augmentation()(images), first)


def test_the_right_side_stays_right() -> None:
    """A sign that points right must not come to point left."""
    torch.manual_seed(0)
    images = torch.zeros(200, 3, 32, 32)
    images[:, :, 12:20, 20:28] = 1.0
    out = Augmentation()(images)
    left, right = out[..., :16].mean(dim=(1, 2, 3)), out[..., 16:].mean(dim=(1, 2, 3))
    assert (right > left).float().mean() > 0.97


def test_dark_images_keep_their_content() -> None:
    torch.manual_seed(0)
    images = 0.05 + 0.05 * (torch.arange(32) // 8 % 2).float().expand(50, 3, 32, 32)
    out = Augmentation(noise=0, erasing=0)(images)
    contrast = out.amax(dim=(1, 2, 3)) - out.amin(dim=(1, 2, 3))
    assert contrast.min() > 0.005


def test_cutout_grays_one_square_of_every_image() -> None:
    torch.manual_seed(0)
    still = Augmentation.of_strength(0)
    images = torch.rand(400, 3, 32, 32) * 0.4
    plain, cut = still(images), replace(still, cutout=0.25)(images)
    gray = (cut == 0.5).all(dim=1)
    assert torch.allclose(torch.where(gray[:, None], images, cut), plain, atol=1e-5)  # nothing else changes
    sides = gray.any(dim=2).sum(dim=1), gray.any(dim=1).sum(dim=1)
    assert torch.equal(gray.sum(dim=(1, 2)), sides[0] * sides[1])  # one whole rectangle
    assert (gray.sum(dim=(1, 2)) <= 64).all()
    assert (gray.sum(dim=(1, 2)) == 64).float().mean() > 0.5  # the others reach over the border
    assert gray.float().mean(dim=0).min() > 0  # anywhere


@pytest.mark.parametrize("channels", [1, 3])
def test_gray_and_color_and_every_part_alone(channels: int) -> None:
    torch.manual_seed(0)
    images = 0.2 + 0.6 * torch.rand(64, channels, 16, 16)
    still = dict.fromkeys(Augmentation.__dataclass_fields__, 0.0)
    for name in still:
        if (name == "saturation" and channels == 1) or name == "cutout":  # off by default
            continue
        part = Augmentation(**{**still, name: getattr(Augmentation(), name)})
        assert (part(images) - images).abs().max() > 0.01, name


@pytest.mark.parametrize("strength", [-1, 3, float("nan")])
def test_a_strength_out_of_range_is_refused(strength: float) -> None:
    with pytest.raises(UsageError, match="strength"):
        Augmentation.of_strength(strength)
