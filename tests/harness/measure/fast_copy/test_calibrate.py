"""Which copy a run gets: what is measured, kept and refused, and what a failure costs."""

import math
import time

import pytest
import torch
from deep import IMAGES, Deep
from torch import nn
from toys import loaded

from harness.inputs.reference import ReferenceModel
from harness.measure.fast_copy import calibrate as calibration
from harness.measure.fast_copy import copies, ladder
from harness.measure.fast_copy.calibrate import Question, calibrate, make_copy
from harness.measure.fast_copy.copies import CopyRecipe, prepare


def test_a_calibration_is_measured_once(reference, monkeypatch, tmp_path):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    monkeypatch.setattr(calibration, "TRIVIAL", 0.0)
    first = calibrate(reference, IMAGES, Question(batch_size=8), {"model": "x"})
    assert not first.cached
    assert "the model itself" in first.measured
    assert len(first.measured) >= 5  # three speed-ups and the order of memory, each tried
    measured = []
    monkeypatch.setattr(calibration, "seconds_per_gradient", lambda *a: measured.append(a) or 1.0)
    again = calibrate(reference, IMAGES, Question(batch_size=8), {"model": "x"})
    assert again.cached
    assert (again.recipe, again.batch_size, again.measured) == (first.recipe, 8, first.measured)
    assert not measured
    calibrate(reference, IMAGES, Question(batch_size=8), {"model": "y"})
    assert measured
    for file in (tmp_path / "calibration").iterdir():
        file.write_text("{")  # torn: measured again
    assert not calibrate(reference, IMAGES, Question(batch_size=8), {"model": "x"}).cached


class Few:
    """A time that is over once it was looked at so often."""

    def __init__(self, looks):
        self.left = looks

    @property
    def over(self):
        self.left -= 1
        return self.left < 0


def test_too_little_time_gives_the_best_of_what_was_tried_to_this_run_alone(reference, monkeypatch, tmp_path):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    pace(monkeypatch, reference, {"fold": 1.5, "stem": 1.2})

    def ask(looks, run):
        return calibrate(reference, IMAGES, Question(batch_size=8), {}, None if looks is None else Few(looks), run)

    nothing = ask(0, "hasty")  # not even the time to begin
    assert (nothing.recipe, nothing.measured, nothing.cut) == (CopyRecipe(), {}, True)
    assert not list(tmp_path.rglob("*.json"))
    part = ask(3, "short")
    assert (part.recipe, part.cut, part.cached) == (CopyRecipe(("fold",)), True, False)
    assert set(part.measured) == {"the model itself", "fold, float32"}
    whole = ask(None, "other")
    assert (whole.recipe, whole.cut, whole.cached) == (CopyRecipe(("fold", "stem")), False, False)
    again = ask(None, "short")
    assert (again.recipe, again.measured, again.cut, again.cached) == (part.recipe, part.measured, True, True)
    assert ask(0, "new").recipe == whole.recipe  # what is known costs no time


def test_too_little_time_for_batch_sizes_takes_the_best_of_those_that_were_tried(reference, monkeypatch, tmp_path):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    monkeypatch.setattr(calibration, "seconds_per_gradient", lambda network, rows, device: 1 / len(rows))
    sizes = [
        calibrate(reference, IMAGES, Question("exact"), {}, Few(looks), str(looks)).batch_size for looks in (2, 3, 4, 5)
    ]
    assert sizes == [32, 64, 128, 256]
    assert calibrate(reference, IMAGES, Question("exact"), {}).batch_size == 512


def test_a_copy_that_is_asked_for_is_made_in_however_little_time(reference, monkeypatch, tmp_path):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    answer = calibrate(reference, IMAGES, Question("bf16", batch_size=8), {}, Few(0), "run")
    assert (answer.recipe, answer.cut) == (CopyRecipe(precision="bf16"), True)


def test_a_cache_folder_that_cannot_be_used_costs_a_calibration_only(reference, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "file"))
    for _ in range(2):
        assert not calibrate(reference, IMAGES, Question("exact", batch_size=4), {"model": "m"}).cached


class Hungry(Deep):
    """So little memory on the host that only a few rows fit at once."""

    def forward(self, images):
        if len(images) > 4 and images.requires_grad:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return super().forward(images)


def test_too_little_memory_on_the_host_is_calibrated_with_less(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    monkeypatch.setattr(calibration, "TRIVIAL", 0.0)
    with ReferenceModel(loaded(Hungry(), 5)) as entered:
        answer = calibrate(entered, IMAGES, Question("float32"), {"model": "hungry"})
        assert not answer.unfit
        assert make_copy(entered, answer.recipe, IMAGES) is not None
        with pytest.raises(RuntimeError, match="can't allocate"):
            prepare(entered, answer.recipe, IMAGES)


def pace(monkeypatch, reference, gains):
    """The reference takes a second a row, copies less by the factor of each step; of (step, True) in channels last."""

    def seconds(network, *_):
        if network is reference.module:
            return 1.0
        last = network.recipe.channels_last
        steps = [*network.recipe.speedups, *(["channels last"] if last else [])]
        return 1 / math.prod(gains.get((step, last), gains.get(step, 1.0)) for step in steps)

    for module in (calibration, ladder):
        monkeypatch.setattr(module, "seconds_per_gradient", seconds)


@pytest.mark.parametrize(("fast", "chosen"), [(1.04, True), (1.2, False)])
def test_a_copy_has_to_be_worth_it(reference, monkeypatch, tmp_path, fast, chosen):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    pace(monkeypatch, reference, {"fold": fast})
    assert calibrate(reference, IMAGES, Question(batch_size=8), {}).recipe.exact is chosen
    assert not calibrate(reference, IMAGES, Question(precision="float32", batch_size=8), {}).recipe.exact


def test_a_step_that_does_not_pay_is_left_out_alone(reference, monkeypatch, tmp_path):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    pace(monkeypatch, reference, {"fold": 1.5, "stem": 0.7, "tiny-maps": 1.1, "weights": 0.8, "channels last": 0.9})
    answer = calibrate(reference, IMAGES, Question(batch_size=8), {})
    assert answer.recipe == CopyRecipe(("fold", "tiny-maps"))
    assert answer.measured == {
        "the model itself": 1.0,
        "fold, float32": 1.5,
        "fold, stem, float32": pytest.approx(1.05, abs=0.06),
        "fold, tiny-maps, float32": pytest.approx(1.65, abs=0.06),
        "fold, tiny-maps, weights, float32": pytest.approx(1.32, abs=0.06),
        "fold, tiny-maps, channels last, float32": pytest.approx(1.485, abs=0.06),
    }


def test_what_did_not_pay_is_tried_again_in_the_other_order_of_memory(reference, monkeypatch, tmp_path):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    pace(monkeypatch, reference, {"fold": 1.1, "stem": 0.7, ("stem", True): 1.2, "channels last": 1.5})
    assert calibrate(reference, IMAGES, Question(batch_size=8), {}).recipe == CopyRecipe(("fold", "stem"), True)


def test_waiting_for_the_processor_is_not_held_against_a_copy():
    class Waits(torch.nn.Linear):
        def forward(self, images):
            time.sleep(0.2)  # as if another process had the processor
            return super().forward(images.flatten(1))

    rows, threads = torch.rand(4, 3, 2, 2), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        own = calibration.seconds_per_gradient(Waits(12, 2), rows, torch.device("cpu"))
        torch.set_num_threads(2)
        wall = calibration.seconds_per_gradient(Waits(12, 2), rows, torch.device("cpu"))
    finally:
        torch.set_num_threads(threads)
    assert 4 * own < 0.1 < 0.2 <= 4 * wall


class Flat(Deep):
    """A network that flattens feature maps with ``.view``, which needs them in the usual order of memory."""

    def forward(self, images):
        maps = torch.relu(self.norm(self.stem(images)))
        both = maps + self.block(maps)
        return 4 * self.last(self.head(both.view(len(both), -1)))


def test_a_step_that_fails_does_not_cost_the_others(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    usual = copies.Registry

    def breaks(network, images):
        network.last = nn.Linear(32, 3)
        return True

    class With(usual):
        def names(self):
            return ("breaks", *super().names())

        def load(self, name):
            return breaks if name == "breaks" else super().load(name)

    monkeypatch.setattr(copies, "Registry", With)
    with ReferenceModel(loaded(Flat(), 5)) as entered:
        pace(monkeypatch, entered, {"fold": 1.1, "stem": 1.1, "tiny-maps": 1.1, "weights": 1.1, "channels last": 2.0})
        answer = calibrate(entered, IMAGES, Question("float32", batch_size=8), {"model": "flat"})
        assert answer.recipe == CopyRecipe(("fold", "stem", "tiny-maps", "weights"))
        assert any("breaks" in reason for reason in answer.unfit)
        assert any("channels last" in reason and "view" in reason for reason in answer.unfit)
        assert make_copy(entered, answer.recipe, IMAGES) is not None
