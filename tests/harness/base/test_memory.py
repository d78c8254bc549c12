"""What the garbage collector is spared, and that it finds what it must."""

import gc
import weakref

import pytest
from toys import Linear, labeled, loaded

from harness.base.memory import little_to_search, tidy
from harness.base.threat import parse_grid
from harness.inputs.suite import Suite
from harness.run.job import Options, evaluate
from harness.types import AttackSpec


class Knot:
    """Holds itself, as tools hold the images that they attack."""

    def __init__(self):
        self.itself = self


def test_what_was_there_before_is_not_searched_and_what_came_later_is():
    before = Knot()
    old = weakref.ref(before)
    with little_to_search():
        assert gc.get_freeze_count() > 0
        del before
        made = weakref.ref(Knot())
        tidy()
        assert made() is None
        assert old() is not None  # found when everything is searched again
    assert gc.get_freeze_count() == 0
    tidy()
    assert old() is None


def test_everything_is_searched_again_after_an_error():
    with pytest.raises(RuntimeError), little_to_search():
        raise RuntimeError
    assert gc.get_freeze_count() == 0


def test_what_somebody_else_has_frozen_stays_frozen():
    gc.freeze()
    try:
        count = gc.get_freeze_count()
        with little_to_search():
            assert gc.get_freeze_count() == count
        assert gc.get_freeze_count() == count
    finally:
        gc.unfreeze()


def test_a_run_searches_little_and_leaves_nothing_frozen(tmp_path, monkeypatch):
    counts = []
    monkeypatch.setattr("harness.measure.chunks.HEAVY", 0)
    monkeypatch.setattr("harness.measure.chunks.tidy", lambda: counts.append(gc.get_freeze_count()))
    model = Linear()
    grid = parse_grid(["1/255"])
    fgsm = AttackSpec("fgsm", "torchattacks", "fgsm", {})
    suite = Suite(name="toy", version=1, norm="linf", grid=grid, mode="observed", chunk=4, attacks=(fgsm,))
    evaluate(loaded(model, 2), suite, labeled(model, 8), Options(tmp_path))
    assert len(counts) == 2
    assert min(counts) > 0
    assert gc.get_freeze_count() == 0
