"""The torchattacks adapter: targets, restarts, and a model that is left alone."""

import copy

import pytest
import torch
from strikes import METHODS, make, strike
from torch import nn
from toys import SmallNet, labeled

from harness.base.randomness import forked
from harness.base.targets import resolve_targets
from harness.base.threat import distance, inside_ball, inside_box
from harness.errors import MissingPackage
from harness.types import Problem

pytest.importorskip("torchattacks")
pytestmark = pytest.mark.torchattacks

TARGETED = [name for name, kind in METHODS.items() if name.startswith("torchattacks") and "target" in kind.options]
BUDGET = [name for name, kind in METHODS.items() if name.startswith("torchattacks") and kind.kind == "budget"]


@pytest.fixture(scope="module")
def net():
    model = SmallNet(seed=3).eval().requires_grad_(False)
    return model, labeled(model, 12, eight_bit=True)


@pytest.mark.parametrize("name", TARGETED)
def test_targets_are_aimed_at(net, name):
    model, data = net
    norm = METHODS[name].norms[0]
    with torch.no_grad():
        logits = model(data.images)
    targets = resolve_targets("kth:1", logits, data.labels)
    stronger = {"torchattacks.cw": {"steps": 40, "c": 50.0}, "torchattacks.square": {"queries": 800}}
    stronger["torchattacks.onepixel"] = {"steps": 20, "population": 40}
    attack = make(name, norm, target="kth:1", **stronger.get(name, {}))
    epsilon = {"linf": 0.05, "l2": 1.0, "l0": 5.0}[norm]
    with forked(0):
        back = attack.perturb(model, Problem(data.images, data.labels, norm, epsilon, 0, 5, 12, targets=targets))
    pick = targets[:, None]
    with torch.no_grad():
        gain = (model(back).log_softmax(1) - logits.log_softmax(1)).gather(1, pick)
    hit = model(back).argmax(1) == targets
    assert (gain > 0).float().mean() > 0.5
    assert hit.any()


@pytest.mark.parametrize("name", BUDGET)
def test_what_comes_back_is_inside_ball_and_box(net, name):
    model, data = net
    weak = {"queries": 30, "steps": 4, "population": 10}
    changes = {key: value for key, value in weak.items() if key in METHODS[name].strength}
    if name == "torchattacks.cascade-10":
        pytest.skip("made of the others, and slow")
    for norm in METHODS[name].norms:
        epsilon = {"linf": 1 / 255, "l2": 0.1, "l0": 2.0}[norm]
        attack = make(name, norm, **changes)
        with forked(0):
            back = attack.perturb(model, Problem(data.images, data.labels, norm, epsilon, 0, 5, 12))
        assert inside_ball(distance(back, data.images, norm), epsilon, norm).all()
        assert inside_box(back).all()


def test_restarts_are_a_union_over_samples(net):
    model, data = net
    few, many = (make("torchattacks.ffgsm", "linf", restarts=count) for count in (1, 6))
    assert (few.restarts, many.restarts) == (1, 6)
    once = strike(few, model, data.images, data.labels, 1 / 255).isfinite()
    union = strike(many, model, data.images, data.labels, 1 / 255).isfinite()
    assert (union >= once).all()


def test_fab_does_its_restarts_itself(net):
    """Its first run starts at the clean image, so the harness calling it twice would be one run twice."""
    attack = make("torchattacks.fab", "linf", restarts=3)
    assert attack.restarts == 1
    assert attack.parameters(0.1)["restarts"] == 3
    assert attack.plumb(Problem(*(torch.zeros(1),) * 2, "linf", 0.1, 0, 5, 1))["n_restarts"] == 3


@pytest.mark.parametrize(("classes", "wanted", "passed"), [(43, 9, 10), (5, 9, 5), (5, 2, 3)])
def test_target_classes_are_never_more_than_there_are(classes, wanted, passed):
    attack = make("torchattacks.apgdt", "linf", target_classes=wanted)
    assert attack.plumb(Problem(*(torch.zeros(1),) * 2, "linf", 0.1, 0, classes, 1))["n_classes"] == passed


def test_the_model_is_left_as_it_was(net):
    model = SmallNet(seed=3).train()
    model.body[1].eval()
    state = copy.deepcopy(model.state_dict())
    modes = [part.training for part in model.modules()]
    _, data = net
    for name in ("torchattacks.pgd", "torchattacks.apgd"):
        with forked(0):
            make(name, "linf", steps=2).perturb(model, Problem(data.images, data.labels, "linf", 0.01, 0, 5, 12))
    assert [part.training for part in model.modules()] == modes
    after = model.state_dict()
    assert all(torch.equal(state[key], after[key]) for key in state)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_gradients_are_computed_even_where_they_are_switched_off(net):
    model, data = net
    problem = Problem(data.images, data.labels, "linf", 0.01, 0, 5, 12)
    with torch.no_grad():
        back = make("torchattacks.pgd", "linf").perturb(model, problem)
    assert not torch.equal(back, data.images)


def test_a_missing_tool_says_what_to_install(net, monkeypatch):
    model, data = net
    monkeypatch.setattr(METHODS["torchattacks.pgd"], "distribution", "no-such-distribution")
    with pytest.raises(MissingPackage, match="pip install no-such-distribution"):
        make("torchattacks.pgd", "linf").perturb(model, Problem(data.images, data.labels, "linf", 0.01, 0, 5, 12))


def test_positive_logits_change_no_margin():
    from adapters.shield import PositiveLogits

    logits = torch.randn(6, 5) * 30 - 50
    shifted = PositiveLogits(nn.Identity(), logits.device)(logits)
    assert (shifted >= 1).all()
    torch.testing.assert_close(shifted - shifted[:, :1], logits - logits[:, :1])
