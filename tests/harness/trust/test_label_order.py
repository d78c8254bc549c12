"""P3 on labels in another order than the model's: which renumbering, and no alarm on weak models that are sound."""

import numpy as np
import pytest
import torch
from toys import SmallNet, Toy, labeled, uniform_images

from harness.trust.doctor import examine_data, examine_model
from harness.trust.doctor.order import best_order, label_order, wanted
from harness.types import LoadedModel, ModelCard

CLASSES = 43
TEXT = sorted(range(CLASSES), key=str)
"""What label k means where folders 0 to 42 are sorted as text."""


def answers(order, seed=0, n=215, accuracy=0.98):
    """Labels, and what a model of this accuracy answers that knows label k as class order[k]."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(order), n)
    right = rng.random(n) < accuracy
    predicted = np.where(right, np.asarray(order)[labels], rng.integers(0, CLASSES, n))
    return torch.from_numpy(predicted), torch.from_numpy(labels)


def finding(order, **how):
    return label_order(*answers(order, **how), len(order), CLASSES, "toy")


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (TEXT, ["labels 2 to 11 are classes 10 to 19", "label 12 is class 2", "sorted as text"]),
        ([TEXT.index(k) for k in range(CLASSES)], ["label 2 is class 12", "the model's classes are numbers sorted"]),
        ([k for k in range(CLASSES) if k != 13], ["labels 13 to", "are classes 14 to", "one too low", "missing"]),
        ([42, *range(42)], ["labels 1 to", "are classes 0 to", "one too high", "count from 1"]),
        (np.random.default_rng(5).permutation(CLASSES), ["label 0 is class", "the model's order of classes"]),
    ],
    ids=["as text", "model as text", "one folder absent", "from one", "at random"],
)
def test_a_good_model_in_another_order_is_refused_and_the_order_told(order, words):
    (one,) = finding(order, n=640, accuracy=1.0)
    assert (one.check, one.level) == ("P3", "refuse")
    assert one.figure < one.threshold == 1e-6
    for word in words:
        assert word in one.message


@pytest.mark.parametrize("order", [TEXT, [k for k in range(CLASSES) if k != 13]], ids=["text", "absent"])
@pytest.mark.parametrize("accuracy", [0.98, 0.7])
def test_every_draw_is_seen(order, accuracy):
    assert all(finding(order, seed=seed, accuracy=accuracy) for seed in range(20))


def weak(kind, classes, accuracy, rng):
    """Confusions [K,K] of a weak model that no renumbering makes better: each row is largest where it is right."""
    if kind == "one class":
        other = np.tile(np.eye(classes)[0], (classes, 1))
    elif kind == "few classes":
        other = np.tile(rng.dirichlet(np.full(classes, 0.05)), (classes, 1))
    elif kind == "next class":
        other, accuracy = np.roll(np.eye(classes), 1, 1), max(accuracy, 0.5)
    elif kind == "pairs":
        other, accuracy = np.eye(classes)[np.arange(classes) ^ 1], max(accuracy, 0.5)
    else:
        other = np.full((classes, classes), 1 / classes)
    return accuracy * np.eye(classes) + (1 - accuracy) * other


@pytest.mark.parametrize("kind", ["one class", "few classes", "next class", "pairs", "uniform"])
def test_a_sound_weak_model_is_never_refused(kind):
    rng = np.random.default_rng(0)
    for _ in range(200):
        classes = int(rng.choice([2, 10, 42, 100]))
        n, shares = max(128, 5 * classes), weak(kind, classes, rng.uniform(0, 0.9), rng)
        labels = rng.integers(0, classes, n)
        predicted = np.array([rng.choice(classes, p=shares[label]) for label in labels])
        assert label_order(torch.from_numpy(predicted), torch.from_numpy(labels), classes, classes, "toy") == []


def test_of_equal_orders_the_given_one_is_kept():
    labels = torch.tensor([0, 1, 2, 3])
    assert best_order(torch.tensor([0, 1, 2, 3]), labels, 5, 6).tolist() == [0, 1, 2, 3, 4]
    assert best_order(torch.tensor([1, 0, 2, 2]), labels, 5, 6).tolist() == [1, 0, 2, 3, 4]


def test_a_class_of_a_larger_model_can_be_meant():
    """Ten classes of a thousand: the labels 0 to 9 stand for classes far away."""
    labels = torch.arange(200) % 10
    (one,) = label_order(labels * 50 + 7, labels, 10, 1000, "toy")
    assert "label 0 is class 7, label 1 is class 57" in one.message


def test_five_images_a_class_are_asked_where_many_are_wrong():
    assert wanted(torch.arange(128) >= 9, 43) == 128
    assert wanted(torch.arange(128) >= 10, 43) == 215
    assert wanted(torch.arange(128) >= 10, 10) == 128
    assert wanted(torch.arange(128) >= 10, 1000) == 640


def test_the_doctor_asks_further_images_and_refuses():
    classes = 40
    model = SmallNet(classes)
    data = labeled(model, 400)
    assert len(data.labels.unique()) > 5
    loaded = LoadedModel("m", model, classes, (3, 8, 8))
    assert [f for f in examine_model(loaded, data).findings if f.check == "P3"] == []
    data.labels = (data.labels + 1) % classes
    (one,) = [f for f in examine_model(loaded, data).findings if f.check == "P3"]
    assert one.level == "refuse"
    assert "of 100 images" in one.message  # half of the 200 that were asked
    assert "one too high" in one.message


NAMES = ["stop", "yield", "danger", "no entry", "priority road"]


@pytest.mark.parametrize(
    ("of_card", "of_data", "refused"),
    [
        (NAMES, NAMES, None),
        (NAMES, ["Stop", "YIELD", "danger", "No-Entry", "priority_road"], None),
        (NAMES, ["yield", "stop", *NAMES[2:]], "class 0 of data set 'toy' is 'yield', which is class 1 of model 'm'"),
        (NAMES, [*NAMES[1:]], "class 0 of data set 'toy' is 'yield', which is class 1"),
        (NAMES, list("abcde"), None),
        (NAMES, list("01234"), None),
        (list("01234"), list("12340"), None),
        (None, NAMES, None),
    ],
)
def test_class_names_that_contradict_the_card_are_refused(of_card, of_data, refused):
    facts = ModelCard("toy", "none", "small", 5, (3, 8, 8), data={} if of_card is None else {"classes": of_card})
    model = LoadedModel("m", SmallNet(5), 5, (3, 8, 8), card=facts)
    data = Toy(uniform_images(16, 0), torch.arange(16) % len(of_data), of_data)
    found = [f for f in examine_data(model, data).findings if f.check == "P15"]
    assert [f.level for f in found] == ([] if refused is None else ["refuse"])
    if refused:
        assert refused in found[0].message
