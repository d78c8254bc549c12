"""Masks of patches: squares that lie in each other, anywhere with the same probability, and what a change needs."""

import hashlib
import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from harness.base.masks import Masks, side_of
from harness.base.threat import parse_epsilon, parse_grid
from harness.errors import BadEpsilon

SHAPE = (3, 32, 32)


@pytest.mark.parametrize(("share", "side"), [(0.02, 4), (0.05, 7), (0.0625, 8), (0.10, 10), (0.5, 22), (1.0, 32)])
def test_a_mask_is_the_largest_square_that_covers_no_more_than_its_share(share, side):
    assert side_of(share, SHAPE) == side
    assert side**2 <= share * 32 * 32 < (side + 1) ** 2
    mask = Masks.over(range(50), SHAPE).within(share)[:, 0]
    assert (mask.sum((1, 2)) == side**2).all()
    assert (mask.any(1).sum(1) == side).all()  # a square, not something of its size
    assert (mask.any(2).sum(1) == side).all()


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 9, 20), (3, 7, 7)])
def test_smaller_masks_lie_in_larger_ones(shape):
    masks = Masks.over(range(200), shape)
    steps = [side**2 / (shape[-2] * shape[-1]) for side in range(1, min(shape[-2:]) + 1)]
    for small, large in pairwise(steps):
        assert not (masks.within(small) & ~masks.within(large)).any()


def test_a_mask_hangs_on_the_id_alone():
    def draw(axis, sample):
        text = "\x1f".join(map(repr, (0, "patch", axis, sample)))
        return (int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1) / 2**31

    for sample in (0, 7, 12629):
        mask = Masks.over([sample], SHAPE).within(0.05)[0, 0]
        top, left = (math.floor(draw(axis, sample) * (32 - 7 + 1)) for axis in ("row", "column"))
        assert mask[top : top + 7, left : left + 7].all()
    together = Masks.over([3, 5, 9], SHAPE)
    assert torch.equal(together[torch.tensor([2])].sides, Masks.over([9], SHAPE).sides)


def test_every_place_is_as_likely():
    masks = Masks.over(range(9000), (1, 8, 8)).within(36 / 64)[:, 0]
    top, left = masks.any(2).int().argmax(1), masks.any(1).int().argmax(1)
    counts = torch.bincount(3 * top + left, minlength=9).double()
    chi_square = float(((counts - 1000) ** 2 / 1000).sum())
    assert chi_square < 26.1  # 8 degrees of freedom, p = 0.001


def test_the_distance_is_what_the_smallest_square_over_all_changes_covers():
    masks = Masks.over(range(40), (3, 6, 6))
    clean = torch.rand(40, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    changed = torch.rand(40, 1, 6, 6, generator=torch.Generator().manual_seed(1)) < 0.05
    images = torch.where(changed, 1 - clean, clean)
    for row, reach in enumerate(masks.distance(images, clean).tolist()):
        fits = [side for side in range(7) if not (changed[row] & ~masks.within(side**2 / 36)[row]).any()]
        assert reach == min(fits) ** 2 / 36
    assert 0 in masks.distance(images, clean)  # where nothing changed


def test_the_smallest_change_in_one_channel_outside_counts():
    masks = Masks.over([0], SHAPE)
    clean = torch.full((1, *SHAPE), 0.5)
    outside = (~masks.within(0.05))[0, 0].nonzero()[0]
    images = clean.clone()
    images[0, 2, outside[0], outside[1]] += 2**-24  # the next float32
    assert float(masks.distance(images, clean)) > 0.05
    assert masks.distance(torch.full_like(clean, torch.nan), clean).isnan().all()


def test_pixels_that_no_square_in_the_image_reaches_are_infinitely_far():
    masks = Masks.over([4], (1, 2, 9))
    assert int(masks.within(1.0).sum()) == 4
    assert float(masks.distance(torch.ones(1, 1, 2, 9), torch.zeros(1, 1, 2, 9))) == math.inf
    assert side_of(1.0, (1, 2, 9)) == 4  # larger than the image


def test_shares_are_percentages():
    assert [(e.value, e.label) for e in parse_grid(["5 %", "2%", "12.5%"], "linf", "patch")] == [
        (0.02, "2%"), (0.05, "5%"), (0.125, "12.5%"),
    ]  # fmt: skip
    for text in ("8/255", "0.05", "101%", "-1%", "%", 0.05):
        with pytest.raises(BadEpsilon, match="is not a percentage up to 100; write for instance 5%"):
            parse_epsilon(text, "linf", "patch")
    with pytest.raises(BadEpsilon, match="'5%' is a share of the image, which suites of threat 'patch' take"):
        parse_epsilon("5%")


def test_a_square_lies_about_the_middle_of_its_box_as_near_as_it_fits():
    boxes = np.array([[0, 0, 9, 8], [5, 2, 7, 6], [0, 0, 1, 1], [8, 7, 9, 8], [4.5, 1, 8, 7]])
    masks = Masks.around(boxes, (1, 8, 9))
    for side in range(1, 9):
        inside = masks.within(side**2 / 72)[:, 0]
        assert (inside.sum((1, 2)) == side**2).all()
        for (left, top, right, bottom), mask in zip(boxes, inside, strict=True):
            begin = mask.nonzero()[0].tolist()
            for at, middle, size in ((begin[0], (top + bottom) / 2, 8), (begin[1], (left + right) / 2, 9)):
                off = [abs(place + side / 2 - middle) for place in range(size - side + 1)]
                assert at == off.index(min(off))
    for side in range(1, 8):
        assert not (masks.within(side**2 / 72) & ~masks.within((side + 1) ** 2 / 72)).any()


def test_the_middle_of_an_image_is_covered_first():
    mask = Masks.around(np.array([[0, 0, 8, 8.0]]), (3, 8, 8)).within(4 / 64)[0, 0]
    assert mask.nonzero().tolist() == [[3, 3], [3, 4], [4, 3], [4, 4]]
