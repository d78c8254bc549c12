"""The fixed order: nested draws, and found again from the ids that a run keeps."""

import numpy as np
import pytest

from harness.base.order import fixed_order, order_of


def test_the_order_is_the_one_of_all_runs_on_disk():
    assert fixed_order(12630)[:5].tolist() == [9183, 7157, 3549, 618, 9060]
    assert sorted(fixed_order(100).tolist()) == list(range(100))


@pytest.mark.parametrize(("size", "n"), [(12630, 2000), (12630, 12630), (500, 60), (40, 1)])
def test_the_first_n_of_a_data_set_are_known_again(size, n):
    first = fixed_order(size)[:n]
    found = order_of(np.sort(first))
    assert found is not None
    assert found.tolist() == first.tolist() or n == 1


def test_other_samples_have_no_order():
    ids = np.sort(fixed_order(500)[:60])
    other = np.setdiff1d(np.arange(500), ids)[:1]
    assert order_of(np.sort(np.append(ids[1:], other))) is None
    assert order_of(np.arange(0)) is None
