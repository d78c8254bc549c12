"""Boxes that a data set gives for its samples, and the masks about them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from toys import SmallNet, labeled

from harness.base.masks import Masks
from harness.errors import BadData
from harness.inputs.boxes import boxes_digest, boxes_of, masks_of
from harness.inputs.corruptions.data import under_corruptions
from harness.inputs.samples import make_slice
from harness.types import Boxed

SHAPE = (3, 8, 8)


@dataclass
class WithBoxes:
    """A data set, and boxes by sample."""

    data: Any
    given: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["data"], name)

    def __len__(self) -> int:
        return len(self.data)

    def boxes(self, indices):
        if isinstance(self.given, Exception):
            raise self.given
        return self.given if self.given is None or isinstance(self.given, str) else np.asarray(self.given)[indices]


def toy(given, n=4):
    return WithBoxes(labeled(SmallNet(), n), given)


FOUR = [[0, 0, 2, 2], [6, 6, 8, 8], [0, 0, 8, 8], [3, 1, 5, 4]]


def test_masks_lie_by_ids_at_the_center_or_about_boxes():
    data = toy(FOUR)
    assert isinstance(data, Boxed)
    assert torch.equal(masks_of("drawn", data, [3, 1], SHAPE).sides, Masks.over([3, 1], SHAPE).sides)
    center = masks_of("center", data, [0, 1], SHAPE).within(4 / 64)[:, 0]
    assert center.nonzero()[:4, 1:].tolist() == [[3, 3], [3, 4], [4, 3], [4, 4]]
    assert torch.equal(center[0], center[1])
    about = masks_of("boxes", data, [1, 0], SHAPE).within(4 / 64)[:, 0]
    assert about[0, 6:, 6:].all()
    assert about[1, :2, :2].all()


def test_a_corrupted_set_keeps_its_boxes():
    under = under_corruptions(toy(FOUR), "toy+fog:3")
    assert boxes_of(under, [3, 0], SHAPE).tolist() == [FOUR[3], FOUR[0]]


def test_the_digest_is_of_the_boxes_in_the_order_of_the_slice():
    part, moved = make_slice(toy(FOUR), None, 4), make_slice(toy(FOUR[::-1]), None, 4)
    assert part.digest() == moved.digest()  # the same images
    assert boxes_digest(part) != boxes_digest(moved)
    assert boxes_digest(part) == boxes_digest(make_slice(toy(np.array(FOUR, np.float32)), None, 2))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (None, "has no boxes, by which a patch of place 'boxes' is laid; take place 'drawn' or 'center'"),
        ([[0, 0, 1]] * 4, r"gave boxes \(2, 3\) for 2 samples; expected \[n,4\]"),
        ([*FOUR[:2], [0, 0, 8, 8.1], FOUR[3]], r"the box of sample 2 is \(0, 0, 8, 8\.1\); expected left < right"),
        ([*FOUR[:2], [3, 0, 3, 8], FOUR[3]], r"the box of sample 2 is \(3, 0, 3, 8\)"),
        ([*FOUR[:2], [0, float("nan"), 3, 8], FOUR[3]], r"the box of sample 2 is \(0, nan, 3, 8\)"),
        ("none", "failed with ValueError: could not convert string to float"),
        (RuntimeError("no such file"), "failed with RuntimeError: no such file"),
    ],
    ids=["none", "three edges", "outside", "empty", "nan", "text", "error"],
)
def test_boxes_that_cannot_be_are_refused(given, why):
    with pytest.raises(BadData, match=why):
        boxes_of(toy(given), [0, 2], SHAPE)
    with pytest.raises(BadData, match="has no boxes"):
        boxes_of(labeled(SmallNet(), 4), [0], SHAPE)
