"""Hashes of corrupted images: the same under every version of numpy and Pillow, until a kind's version rises."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from harness.inputs.corruptions.kinds import SEVERITIES, corrupted, load_kind
from harness.inputs.registry import Registry

GOLDEN = json.loads(Path(__file__).with_name("corruptions_golden.json").read_text())
"""By kind, of version 1: made with numpy 2.4.6 and Pillow 13.0.0, the same with numpy 1.26.4 and Pillow 10.1.0."""


def pictures(side):
    """Integers alone make them: uint8 [2,3,side,side + 4]."""
    n, channels, down, right = np.indices((2, 3, side, side + 4))
    return ((down * 7 + right * 3 + 50 * channels + 31 * n + (down * right) // 5) % 256).astype(np.uint8)


def digest(name):
    found = hashlib.sha256()
    for side in (28, 40, 70):
        for severity in SEVERITIES:
            found.update(corrupted(pictures(side), [11, 40_000], name, severity).tobytes())
    return found.hexdigest()[:16]


@pytest.mark.parametrize("name", Registry("corruptions").names())
def test_images_are_those_of_their_version(name):
    kind = load_kind(name)
    if not kind.exact:
        pytest.skip("its library may round differently")
    assert (digest(name), kind.version) == (GOLDEN[name], 1)
