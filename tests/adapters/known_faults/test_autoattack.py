"""Faults of the installed AutoAttack, one test each, and what the adapter does about them.

A test here fails when an upgrade mends its fault: then the work-around and the line in docs/tools.md can go.
"""

import logging
import sys
import warnings

import pytest
import torch
from slope import EPSILON, Slope, gray
from strikes import make
from torch import nn

from harness.attack import ToolWarning
from harness.base.randomness import forked
from harness.types import Problem


def _tool_warnings(name, model, data, **changes):
    attack = make(name, "linf", **{"steps": 2, **changes})
    problem = Problem(data.images, data.labels, "linf", EPSILON, 0, 5, 12)
    with forked(0), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        attack.perturb(model, problem)
    return [str(warning.message) for warning in caught]


@pytest.mark.autoattack
class TestAutoAttack:
    tool = staticmethod(lambda: pytest.importorskip("pyautoattack"))

    def quick(self, model, **options):
        return self.tool().AutoAttack(model, attacks=["square"], version="custom", eps=EPSILON, seed=0, **options)

    @pytest.fixture(autouse=True)
    def _trace_comes_back(self):
        tracer = sys.gettrace()
        yield
        sys.settrace(tracer)

    def test_resuming_fails(self, net, tmp_path):
        model, data = net
        attack = self.quick(model)
        attack.square.n_queries = 2
        attack.run_standard_evaluation(data.images, data.labels, state_path=tmp_path / "state.json")
        with pytest.raises(ValueError, match="different set of attacks"):
            attack.run_standard_evaluation(data.images, data.labels, state_path=tmp_path / "state.json")
        with pytest.raises(AttributeError):
            attack.run_standard_evaluation(data.images, data.labels, state_path=str(tmp_path / "state.json"))

    def test_after_one_dynamic_model_every_model_is_called_dynamic(self, net, caplog):
        model, data = net
        pytest.importorskip("pyautoattack.checks")

        class Dynamic(nn.Module):
            def forward(self, images):
                with torch.enable_grad():
                    probe = images.detach().clone().requires_grad_()
                    torch.autograd.grad(probe.sum(), probe)
                return model(images)

        def warned(which):
            caplog.clear()
            attack = self.quick(which)
            attack.square.n_queries = 1
            with caplog.at_level(logging.WARNING, logger="auto-attack"):
                attack.run_standard_evaluation(data.images, data.labels)
            return "dynamic" in caplog.text

        before = dict(self.tool().checks.funcs)
        try:
            self.tool().checks.funcs.update(dict.fromkeys(before, 0))
            assert not warned(model)
            assert warned(Dynamic())
            assert warned(model)
            found = _tool_warnings("autoattack.apgd-ce", model, data)
            assert not any("dynamic" in text for text in found)
            assert any("dynamic" in text for text in _tool_warnings("autoattack.apgd-ce", Dynamic(), data))
        finally:
            self.tool().checks.funcs.update(before)

    def test_it_switches_the_tracer_off(self, net):
        model, data = net
        attack = self.quick(model)
        attack.square.n_queries = 1

        def tracer(*_):
            return None

        sys.settrace(tracer)
        attack.run_standard_evaluation(data.images, data.labels)
        after = sys.gettrace()
        sys.settrace(tracer)
        _tool_warnings("autoattack.apgd-ce", model, data)
        ours = sys.gettrace()
        sys.settrace(None)
        assert after is None
        assert ours is tracer

    def test_running_members_one_by_one_forgets_all_but_the_last(self, net):
        model, data = net
        attack = self.tool().AutoAttack(model, attacks=["apgd-ce", "square"], version="custom", eps=EPSILON, seed=0)
        attack.apgd.n_iter, attack.apgd.n_restarts, attack.square.n_queries = 2, 1, 2
        attack.run_standard_evaluation_individual(data.images, data.labels)
        assert attack.attacks_to_run == ["square"]
        assert attack.verbose is False

    def test_fewer_than_four_classes_are_an_index_error(self):
        model = Slope()
        attack = self.tool().AutoAttack(model, eps=EPSILON, seed=0)
        with pytest.raises(IndexError):
            attack.run_standard_evaluation(*gray(0.4))

    @pytest.mark.parametrize("norm", ["L2", "L1"])
    def test_square_crashes_where_its_tiles_leave_the_image(self, norm):
        """On which sizes, is in test_square.py; a cascade goes on without it here."""
        images, labels = torch.full((2, 3, 24, 24), 0.5), torch.zeros(2, dtype=torch.int64)
        attack = self.tool().square.SquareAttack(Slope(at=0.9), norm=norm, eps=0.5, n_queries=2, device="cpu")
        with pytest.raises(RuntimeError, match="size of tensor"):
            attack.perturb(images, labels)
        problem = Problem(images, labels, norm.lower(), 0.5, 0, 3, 2, "square")
        with pytest.warns(ToolWarning, match="square was left out"):
            assert (
                make("autoattack.custom", norm.lower(), components=["apgd-ce", "square"]).perturb(
                    Slope(at=0.9), problem
                )
                is None
            )

    def test_the_global_generator_is_reseeded(self, net):
        model, data = net
        attack = self.quick(model)
        attack.square.n_queries = 1
        torch.manual_seed(1)
        untouched = torch.rand(1)
        torch.manual_seed(1)
        attack.run_standard_evaluation(data.images, data.labels)
        assert not torch.equal(torch.rand(1), untouched)
