"""Which samples are measured, in which order, and what the slice's hash is sensitive to."""

import numpy as np
import pytest
import torch
from toys import Toy, uniform_images

from harness.errors import BadData, UsageError
from harness.inputs.samples import make_slice


def data(n=50):
    return Toy(uniform_images(n, 0), torch.arange(n) % 5, [str(i) for i in range(5)])


def test_slices_are_nested_random_draws():
    orders = {n: make_slice(data(), n, 8).indices.tolist() for n in (7, 20, 50)}
    assert orders[20] == orders[50][:20]
    assert orders[7] == orders[50][:7]
    assert sorted(orders[50]) == list(range(50))
    assert orders[20] != sorted(orders[20])
    assert make_slice(data(), None, 8).indices.tolist() == orders[50]


def test_chunks_cover_the_slice_once():
    part = make_slice(data(), 20, 8)
    assert part.chunks == 3
    assert np.concatenate([part.ids(i) for i in range(3)]).tolist() == part.indices.tolist()
    images, labels = part.take(2)
    assert len(images) == len(labels) == 4
    assert torch.equal(images, data().images[part.ids(2)])


def test_the_digest_sees_pixels_labels_and_membership():
    same = make_slice(data(), 20, 8).digest()
    assert make_slice(data(), 20, 5).digest() == same  # how it is cut into chunks does not matter
    assert make_slice(data(), 19, 8).digest() != same
    for change in ("pixel", "label"):
        other = data()
        index = int(make_slice(other, 20, 8).indices[3])
        if change == "pixel":
            other.images[index, 0, 0, 0] = 0.123
        else:
            other.labels[index] = (other.labels[index] + 1) % 5
        assert make_slice(other, 20, 8).digest() != same


def test_sizes_are_checked():
    for n in (0, -1, 51):
        with pytest.raises(UsageError, match=f"--n {n}"):
            make_slice(data(), n, 8)
    with pytest.raises(BadData, match="no samples"):
        make_slice(Toy(torch.zeros(0, 3, 8, 8), torch.zeros(0, dtype=torch.int64), ["a"]), None, 8)


def test_broken_contracts_are_refused():
    wrong = data()
    wrong.images = wrong.images.double()
    with pytest.raises(BadData, match="expected float32"):
        make_slice(wrong, None, 8).take(0)
