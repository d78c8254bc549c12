"""The doctor on claims, normalization, data and units: each fault is told, and only faults are."""

import pytest
import torch
from patients import CLASSES, MEAN, STD, Waves, Wrapped, card, examined, normalized, said, sound, wavy
from torch import nn
from toys import SmallNet, Toy, labeled, uniform_images

from harness.base.threat import Epsilon
from harness.errors import BadData, ModelRefused
from harness.evidence.findings import against_claim
from harness.trust.doctor import examine_data, refuse, units
from harness.types import Claim, LoadedModel

# ---------------------------------------------------------------- clean accuracy and claims


def test_guessing_is_refused():
    data = wavy()
    shuffled = data.labels[torch.randperm(128, generator=torch.Generator().manual_seed(0))]
    assert said(examined(Waves(lambda x: x), Toy(data.images, shuffled, data.classes))) == [("P3", "refuse")]
    few = Toy(data.images[:40], shuffled[:40], data.classes)
    assert said(examined(Waves(lambda x: x), few)) == [("P3", "warn")]


def test_one_answer_for_everything_is_guessing():
    class Stuck(nn.Module):
        def forward(self, images):
            return torch.tensor([3.0, -1.0, -2.0]) + 1e-3 * images.mean((1, 2, 3))[:, None]

    data = Toy(uniform_images(90, 0), torch.arange(90) % 4 % 3, list("abc"))  # class 0 is half of them
    assert ("P3", "refuse") in said(examined(Stuck(), data, classes=3))


def test_the_claim_for_this_data_set_is_what_counts():
    data, model = wavy(wrong=40), Waves(lambda x: x)  # 88 of 128 are right
    assert said(examined(model, data, card(claims={"toy": Claim(0.70, 1000)}))) == []
    assert said(examined(model, data, card(claims={"other": Claim(0.99, 1000)}))) == []
    for wrong_claim in (0.95, 0.30):  # both directions
        (finding,) = examined(model, data, card(claims={"toy": Claim(wrong_claim, 1000)})).findings
        assert (finding.check, finding.level) == ("P3", "refuse")
        assert (finding.figure, finding.threshold) == (88 / 128, wrong_claim)


def test_a_claim_counted_on_few_images_refuses_less():
    assert against_claim(80, 128, Claim(1.0, 10), "toy", "refuse") == []
    assert against_claim(80, 128, Claim(1.0, 1000), "toy", "refuse")
    assert against_claim(0, 0, Claim(1.0, 1000), "toy", "refuse") == []


# ---------------------------------------------------------------- normalization


@pytest.mark.parametrize(
    ("right", "wired", "words", "with_card"),
    [
        (normalized, lambda x: x, "lacks its normalization", True),
        (normalized, lambda x: normalized(x, 2), "normalizes twice", True),
        (lambda x: (x - 0.5) / 0.5, lambda x: x, "mean 0.5, std 0.5", False),
        (lambda x: normalized(x, 1), lambda x: normalized(x.flip(1), 1), "reverse order", True),
        (lambda x: x * 4, lambda x: x * 4 / 255, "0 to 255", False),
    ],
    ids=["missing", "double", "halves", "BGR", "255"],
)
def test_wrong_normalization_is_recognized(right, wired, words, with_card):
    data = labeled(Waves(right), 128)
    facts = card(mean=MEAN, std=STD) if with_card else None
    assert said(examined(Waves(right), data, facts)) == []
    report = examined(Waves(wired), data, facts)
    (finding,) = [finding for finding in report.findings if finding.check == "P20"]
    assert finding.level == "refuse"
    assert words in finding.message


def test_a_bad_model_that_no_normalization_mends_is_left_to_the_other_checks():
    shuffled = wavy()
    shuffled.labels = shuffled.labels.roll(1)
    assert said(examined(Waves(lambda x: x), shuffled)) == [("P3", "refuse")]


# ---------------------------------------------------------------- data, shapes, units


def test_data_that_no_option_can_overrule():
    data, model = sound(16), LoadedModel("m", SmallNet(), CLASSES, (3, 8, 8))
    assert examine_data(model, data).findings == []
    bad = {
        "P1": [
            Toy(data.images * 4 - 2, data.labels, data.classes),
            Toy(data.images / 255, data.labels, data.classes),
            Toy(data.images, data.labels + 90, data.classes),
        ],
        "P15": [Toy(data.images, data.labels, list("abcdef")), Toy(data.images[..., :4], data.labels, data.classes)],
    }
    for check, sets in bad.items():
        for broken in sets:
            report = examine_data(model, broken)
            assert said(report) == [(check, "refuse")]
            with pytest.raises(BadData if check == "P1" else ModelRefused, match=f"{check}: "):
                refuse(report, "m", force=True)


def test_predictions_outside_the_datas_classes_are_told():
    model = Wrapped(after=lambda y: torch.cat([y, y + 1], 1))
    assert ("P15", "warn") in said(examined(model, classes=10))
    harmless = Wrapped(after=lambda y: torch.cat([y, y - 9], 1))
    assert said(examined(harmless, classes=10)) == []


def attack(step, steps=20, kind="budget"):
    return "a", kind, {"8/255": {"step_size": step, "steps": steps}}


@pytest.mark.parametrize(
    ("given", "norm", "expected"),
    [
        (attack(2 / 255), "linf", []),
        (attack(16 / 255, 100), "linf", []),  # APGD starts with twice epsilon
        (attack(2.0), "linf", ["refuse"]),
        (attack(0.5), "linf", ["warn"]),
        (attack(0.1 / 255, 10), "linf", ["warn"]),
        (attack(2.0, kind="minimum"), "linf", []),
        (attack(2.0), "l2", ["warn"]),
        (("fgsm", "budget", {"8/255": {}}), "linf", []),
    ],
)
def test_units_of_step_sizes(given, norm, expected):
    found = units([given], norm, [Epsilon(8 / 255, "8/255")])
    assert [finding.level for finding in found] == expected
    assert {finding.check for finding in found} <= {"P14"}


def test_constant_steps_are_held_against_the_largest_ball():
    grid = [Epsilon(k / 255, f"{k}/255") for k in (8, 1, 4)]

    def told(step):
        given = ("pgd", "budget", {epsilon.label: {"steps": 5, "step_size": step} for epsilon in grid})
        return [finding.message for finding in units([given], "linf", grid)]

    (short,) = told(0.001)
    assert "takes 5 steps of 0.001 at 8/255 and cannot cross" in short
    (long,) = told(5 / 255)
    assert "is 5.0 epsilons at 1/255: a wrong unit?" in long
    assert told(2 / 255) == []
