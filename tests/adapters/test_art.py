"""The ART adapter: a ready classifier, seeded and silent attacks, targets."""

import logging
import warnings

import numpy as np
import pytest
import torch
from strikes import make, strike
from toys import Linear, SmallNet, labeled, loaded

from adapters.art import as_classifier
from harness.attack import ToolWarning
from harness.base.randomness import forked
from harness.errors import UsageError
from harness.types import LoadedModel, Problem

pytest.importorskip("art")
pytestmark = pytest.mark.art


def problem_of(data, classes, epsilon=4 / 255, norm="linf", **options):
    return Problem(data.images, data.labels, norm, epsilon, 0, classes, len(data.images), **options)


def test_a_model_of_the_zoo_becomes_a_classifier():
    model = SmallNet().train()
    data = labeled(SmallNet(), 7)
    classifier = as_classifier(LoadedModel("toy", model, 5, (3, 8, 8)))
    logits = classifier.predict(data.images.numpy())
    assert np.array_equal(logits, model(data.images).detach().numpy())
    assert (logits.argmax(1) == data.labels.numpy()).all()
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert tuple(classifier.clip_values) == (0.0, 1.0)
    assert classifier.nb_classes == 5


def test_a_plain_module_needs_its_shape():
    with pytest.raises(UsageError, match="num_classes is unknown"):
        as_classifier(SmallNet())
    with pytest.raises(UsageError, match="input_shape is unknown"):
        as_classifier(loaded(SmallNet(), 5))
    assert as_classifier(SmallNet(), num_classes=5, input_shape=(3, 8, 8)).input_shape == (3, 8, 8)


def test_two_classes_are_enough():
    """ART takes index labels of two classes for a single output, so it is given one-hot labels."""
    model = Linear()
    data = labeled(model, 20, low=0.3, high=0.7)
    needed = model.margin(data.images, "linf")
    epsilon = float(needed.sort().values[9:11].mean())
    broken = strike(make("art.pgd", "linf"), model, data.images, data.labels, epsilon).isfinite()
    assert torch.equal(broken, needed < epsilon)


@pytest.mark.parametrize(("name", "norm"), [("art.pgd", "linf"), ("art.apgd", "l2"), ("art.square", "linf")])
def test_draws_follow_the_seed(name, norm):
    model = SmallNet(seed=3).eval().requires_grad_(False)
    data = labeled(model, 6)
    attack, back = make(name, norm, steps=3), []
    for seed in (1, 1, 2):
        with forked(seed):
            back.append(attack.perturb(model, problem_of(data, 5, norm=norm)))
    assert torch.equal(back[0], back[1])
    assert not torch.equal(back[1], back[2])


@pytest.mark.parametrize("name", ["art.pgd", "art.apgd", "art.square", "art.deepfool", "art.cw", "art.boundary"])
def test_no_bars_and_no_logs(name, capfd, caplog):
    model = SmallNet(seed=3).eval().requires_grad_(False)
    data = labeled(model, 2)
    attack = make(name, "l2" if name[4:] in ("deepfool", "cw", "boundary") else "linf", steps=2)
    logger = logging.getLogger("art")
    before = logger.level, list(logger.handlers), logger.propagate
    with caplog.at_level(logging.INFO), warnings.catch_warnings():
        warnings.simplefilter("ignore", ToolWarning)
        attack.perturb(model, problem_of(data, 5, norm=attack.norm))
    assert not [record for record in caplog.records if record.name.startswith("art")]
    assert capfd.readouterr() == ("", "")
    assert (logger.level, list(logger.handlers), logger.propagate) == before


def test_every_query_holds_the_whole_batch():
    """Else the observer cannot tell for certain which row is which sample; ART's default is pieces of 128."""
    model = SmallNet(seed=3).eval().requires_grad_(False)
    data = labeled(model, 150)
    sizes = set()

    class Recorded(torch.nn.Module):
        def forward(self, images):
            sizes.add(len(images))
            return model(images)

    for name in ("art.deepfool", "art.pgd"):
        attack = make(name, "l2", steps=2)
        attack.perturb(Recorded(), problem_of(data, 5, norm="l2"))
        assert sizes == {150}


@pytest.mark.parametrize(("name", "norm"), [("art.fgsm", "linf"), ("art.pgd", "l2"), ("art.mifgsm", "linf")])
def test_targets_are_aimed_at(name, norm):
    model = SmallNet(seed=3).eval().requires_grad_(False)
    data = labeled(model, 12)
    targets = (data.labels + 1) % 5
    before = model(data.images).gather(1, targets[:, None])
    attack = make(name, norm, target="kth:1")
    back = attack.perturb(model, problem_of(data, 5, epsilon=0.02, norm=norm, targets=targets))
    assert (model(back).gather(1, targets[:, None]) > before).all()


def test_without_a_start_a_decision_attack_says_so():
    class Always(torch.nn.Module):
        def forward(self, images):
            return torch.stack([torch.ones(len(images)), torch.zeros(len(images))], 1)

    data = labeled(Always(), 1)
    with pytest.warns(ToolWarning, match="raise init_size"):
        back = make("art.hopskipjump", "l2", init_size=3).perturb(Always(), problem_of(data, 2, norm="l2"))
    assert torch.equal(back, data.images)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_cascade_runs_with_its_members_silent(norm, capfd):
    """On a model that its first member breaks, so that it is quick."""
    model = SmallNet(seed=3).eval().requires_grad_(False)
    data = labeled(model, 6)
    back = make("art.cascade", norm).perturb(
        model, problem_of(data, 5, epsilon=1.0 if norm == "linf" else 5.0, norm=norm)
    )
    assert (model(back).argmax(1) != data.labels).all()
    assert capfd.readouterr() == ("", "")
