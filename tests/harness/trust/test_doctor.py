"""The doctor: every check has a model that must trip it, and sound models trip none."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn
from toys import Linear, SmallNet, Toy, labeled, loaded, uniform_images

from harness.base.statistics import binomial_at_least, binomial_at_most, fisher, mcnemar_one_sided
from harness.base.threat import Epsilon, parse_grid
from harness.cli import main
from harness.errors import BadData, ModelRefused
from harness.evidence.findings import CHECKS, against_claim
from harness.inputs.suite import Suite
from harness.run.job import Options, evaluate
from harness.trust.doctor import examine_data, examine_model, refuse, units
from harness.trust.doctor.answers import determinism
from harness.trust.doctor.probe import Probe
from harness.types import AttackSpec, Claim, LoadedModel, ModelCard

CLASSES = 5


class Wrapped(nn.Module):
    """A sound net, with something done to its input and its output."""

    def __init__(self, before=lambda x: x, after=lambda y: y, net=None):
        super().__init__()
        self.net, self.before, self.after = net or SmallNet(), before, after

    def forward(self, images):
        return self.after(self.net(self.before(images)))


def sound(n=128, seed=1, **options):
    return labeled(SmallNet(), n, seed, **options)


def examined(module, data=None, card=None, classes=CLASSES, training=False, **options):
    model = LoadedModel("toy-model", module.train(training), classes, card=card)
    return examine_model(model, data or sound(), **options)


def said(report):
    """Codes and levels, without remarks."""
    return [(finding.check, finding.level) for finding in report.findings if finding.level != "info"]


def card(**changes):
    return ModelCard("toy", "none", "small", CLASSES, (3, 8, 8), **changes)


MEAN, STD = (0.3, 0.35, 0.4), (0.2, 0.25, 0.22)


def normalized(images, times=1):
    for _ in range(times):
        images = (images - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    return images


class Waves(nn.Module):
    """Five balanced classes; the answer depends on contrast and color of what `before` makes of the images."""

    def __init__(self, before):
        super().__init__()
        self.before = before
        generator = torch.Generator().manual_seed(3)
        self.first = nn.Parameter(torch.randn(16, 192, generator=generator) / 3)
        self.shift = nn.Parameter(torch.randn(16, generator=generator))
        self.second = nn.Parameter(torch.randn(CLASSES, 16, generator=generator))

    def forward(self, images):
        hidden = (self.before(images).flatten(1) @ self.first.T + 3 * self.shift).sin()
        return 3 * hidden @ self.second.T


def wavy(wrong=0):
    return labeled(Waves(lambda x: x), 128, wrong=wrong)


# ---------------------------------------------------------------- exact tests


def test_exact_tests_by_hand():
    assert binomial_at_least(8, 10, 0.5) == pytest.approx(56 / 1024)
    assert binomial_at_most(2, 10, 0.5) == pytest.approx(56 / 1024)
    assert binomial_at_least(0, 10, 0.1) == 1.0
    assert binomial_at_least(1, 3, 0.0) == 0.0
    assert binomial_at_least(3, 3, 1.0) == 1.0
    assert mcnemar_one_sided(5, 0) == pytest.approx(1 / 32)
    assert mcnemar_one_sided(0, 0) == 1.0
    assert fisher(3, 4, 1, 4) == pytest.approx(2 * 17 / 70)  # Fisher's tea: the smaller tail is 17/70
    assert fisher(5, 10, 50, 100) == 1.0
    # A claim that was counted on very many images is as good as a known share.
    assert fisher(2, 20, 5 * 10**6, 10**7) == pytest.approx(2 * binomial_at_most(2, 20, 0.5), rel=1e-4)


# ---------------------------------------------------------------- sound models


@pytest.mark.parametrize(
    "module",
    [SmallNet(), Wrapped(after=lambda y: 5 * y), Wrapped(after=lambda y: y - y.mean(1, keepdim=True))],
    ids=["small", "confident", "centered"],
)
def test_sound_models_pass(module):
    report = examined(module)
    assert said(report) == []
    assert report.n == 128


def test_sound_binary_and_half_wrong_models_pass():
    assert said(examined(Linear(), labeled(Linear(), 128), classes=2)) == []
    assert said(examined(Waves(lambda x: x), wavy(wrong=64))) == []
    assert said(examined(Waves(lambda x: x), wavy(wrong=80))) == []
    assert said(examined(SmallNet(), sound(8))) == []


def test_a_model_in_train_mode_is_only_remarked_on_and_comes_back_so():
    model = SmallNet().train()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    generator = torch.get_rng_state()
    report = examined(model, training=True)
    assert [(f.check, f.level) for f in report.findings] == [("P4", "info")]
    assert all(part.training for part in model.modules())
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(generator, torch.get_rng_state())


class Meter(nn.Module):
    """Counts the rows that go forward, and those that come back."""

    def __init__(self, net):
        super().__init__()
        self.net, self.forwards, self.backwards = net, 0, 0

    def forward(self, images):
        self.forwards += len(images)
        logits = self.net(images)
        if logits.requires_grad:
            logits.register_hook(self.count)
        return logits

    def count(self, gradient):
        self.backwards += len(gradient)


@pytest.mark.parametrize("with_gradient", [False, True])
@pytest.mark.parametrize("words", ["DefaultCPUAllocator: can't allocate memory", None])
def test_too_little_memory_on_the_host_is_no_refusal(with_gradient, words):
    class Hungry(SmallNet):
        def forward(self, images):
            if len(images) > 16 and images.requires_grad >= with_gradient:
                raise RuntimeError(words) if words else MemoryError
            return super().forward(images)

    assert said(examined(Hungry())) == []


def test_what_the_doctor_costs():
    """Independent of how many images are measured later; a bad model costs more, for other normalizations."""
    good = Meter(Waves(lambda x: x))
    examined(good, labeled(good.net, 300))
    assert (good.forwards, good.backwards) == (128 + 64 + 8 + 64 + 3 * 64 + 64, 2 * 64)
    bad = Meter(Waves(lambda x: x))
    data = wavy()
    data.labels = data.labels.roll(1)
    examined(bad, data, card(mean=MEAN, std=STD))
    assert bad.forwards == good.forwards + 4 * 64 + 64
    bad.forwards = 0
    examined(bad, data)
    assert bad.forwards == good.forwards + 8 * 64 + 64


# ---------------------------------------------------------------- models that must trip


def explode(_images):
    raise ValueError("needs\nnormalized images")


class TrainsItself(nn.Module):
    """Switches back to train mode whenever it predicts."""

    def __init__(self):
        super().__init__()
        self.net = SmallNet()
        self.net.body[3] = nn.Identity()  # no dropout: batch norm alone

    def forward(self, images):
        self.train()
        return self.net(images)


class Counting(nn.Module):
    """Keeps a count of its queries in a buffer."""

    def __init__(self):
        super().__init__()
        self.net = SmallNet()
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, images):
        self.seen += len(images)
        return self.net(images)


def batch_statistics():
    net = SmallNet()
    old = net.body[1]
    net.body[1] = nn.BatchNorm2d(8, track_running_stats=False)
    net.body[1].load_state_dict(old.state_dict(), strict=False)
    return net


class Rough(nn.Module):
    """A sound net with ripples of `height` on its surface, which follow no gradient worth following."""

    def __init__(self, scale, height):
        super().__init__()
        self.net, self.scale, self.height = SmallNet(), scale, height

    def forward(self, images):
        ripple = torch.sin(self.scale * images.double().flatten(1).sum(1, keepdim=True)).float()
        return self.net(images) + self.height * ripple * torch.arange(CLASSES)


class NoNumber(torch.autograd.Function):
    """The identity, with a gradient of NaN."""

    @staticmethod
    def forward(ctx, images):
        return images.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * float("nan")


class Lost(torch.autograd.Function):
    """The identity, with a gradient that has nothing to do with it."""

    @staticmethod
    def forward(ctx, images):
        return images.clone()

    @staticmethod
    def backward(ctx, gradient):
        generator = torch.Generator().manual_seed(7)
        return torch.randn(gradient.shape, generator=generator)


TRIPPING = {
    "fails": (Wrapped(before=explode), "P0", "refuse", "needs normalized images"),
    "wrong shape": (Wrapped(after=lambda y: y[:, :4]), "P0", "refuse", "expected logits (64, 5)"),
    "not a tensor": (Wrapped(after=lambda y: (y, y)), "P0", "refuse", "tuple"),
    "NaN": (Wrapped(after=lambda y: y * float("nan")), "P0", "refuse", "NaN"),
    "reacts to rounding": (Rough(1e8, 10.0), "P2", "refuse", "1e-6"),
    "trains itself": (TrainsItself(), "P4", "refuse", "train mode"),
    "batch statistics": (batch_statistics(), "P4", "refuse", "body.1"),
    "counts": (Counting(), "P4", "refuse", "seen"),
    "random logits": (Wrapped(after=lambda y: y + torch.randn_like(y)), "P5", "warn", "randomized"),
    "random input": (Wrapped(before=lambda x: x + 0.1 * torch.randn_like(x)), "P5", "warn", "too low"),
    "batch-dependent": (Wrapped(after=lambda y: y - y.mean(0)), "P5", "refuse", "alone"),
    "probabilities": (Wrapped(after=lambda y: y.softmax(1)), "P6", "refuse", "softmax"),
    "sigmoids": (Wrapped(after=torch.sigmoid), "P6", "warn", "sigmoid"),
    "shifted": (Wrapped(after=lambda y: y - 100), "P6", "warn", "negative"),
    "huge": (Wrapped(after=lambda y: 1000 * y), "P6", "warn", "80 logits"),
    "no gradient": (Wrapped(before=lambda x: x.detach()), "P7", "warn", "no gradient"),
    "quantized": (Wrapped(before=lambda x: (x * 16).round() / 16), "P7", "warn", "exactly zero"),
    "NaN gradient": (Wrapped(before=NoNumber.apply), "P7", "warn", "NaN"),
    "misleading gradient": (Wrapped(before=Lost.apply), "P7", "warn", "uphill"),
    "rough": (Rough(300.0, 3.0), "P21", "warn", "1/255"),
}


@pytest.mark.parametrize("name", TRIPPING)
def test_a_broken_model_trips_its_check(name):
    module, check, level, words = TRIPPING[name]
    report = examined(module)
    mine = [finding for finding in report.findings if (finding.check, finding.level) == (check, level)]
    assert mine, report.findings
    assert words in mine[0].message
    assert mine[0].message.startswith(CHECKS[check])
    assert not any("\n" in finding.message for finding in report.findings)


def test_logits_from_which_cross_entropy_gets_no_gradient():
    """At a lead of 120 logits the loss is flat in float32 while the margin is not."""
    report = examined(Wrapped(after=lambda y: y + 400 * nn.functional.one_hot(y.argmax(1), CLASSES)))
    assert ("P6", "warn") in said(report)
    (finding,) = [finding for finding in report.findings if finding.check == "P7"]
    assert "cross-entropy gradient is exactly zero" in finding.message


def test_randomized_models_are_not_blamed_for_what_noise_does():
    noisy = Wrapped(after=lambda y: y + 2 * torch.randn_like(y), net=Waves(lambda x: x))
    report = examined(noisy, wavy())
    assert said(report) == [("P5", "warn")]
    assert report.findings[0].figure > 0.05


def test_rounding_between_batches_is_no_dependence():
    logits = torch.randn(16, 5, generator=torch.Generator().manual_seed(0))
    images, labels = torch.zeros(16, 3, 8, 8), torch.zeros(16, dtype=torch.int64)
    near = Probe(images=images, labels=labels, logits=logits, again=logits, alone=logits[:8] + 1e-5)
    assert determinism(near) == []
    assert [f.level for f in determinism(replace(near, alone=logits[:8] + 0.05))] == ["refuse"]


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


# ---------------------------------------------------------------- before a run


def suite(grid=("4/255",), **params):
    given = {"steps": 5, "step_size": "epsilon/2", "random_start": True, **params}
    return Suite(
        name="toy",
        version=1,
        norm="linf",
        grid=parse_grid(grid),
        mode="observed",
        chunk=32,
        attacks=(AttackSpec("pgd", "torchattacks", "pgd", given),),
    )


def test_a_refused_model_leaves_nothing_behind_and_force_marks_the_row(tmp_path):
    data = sound(40)
    model = loaded(Wrapped(after=lambda y: y.softmax(1)).eval(), CLASSES)
    with pytest.raises(ModelRefused, match=r"refused by P6: logits: the outputs are probabilities.*--force"):
        evaluate(model, suite(), data, Options(tmp_path))
    assert list(tmp_path.iterdir()) == []
    run = evaluate(model, suite(), data, Options(tmp_path, force=True))
    assert run.info.preflight.forced is True
    assert run.summary["grade"] == "D"
    assert ("P6", "refuse") in [(finding["check"], finding["level"]) for finding in run.summary["findings"]]
    with pytest.raises(ModelRefused, match="refused by P6"):  # forced once is not forced for ever
        evaluate(model, suite(), data, Options(tmp_path))


def test_warnings_travel_with_the_row_and_the_doctor_is_asked_once(tmp_path, monkeypatch):
    data = sound(40)
    model = loaded(Wrapped(after=lambda y: y - 100).eval(), CLASSES)
    run = evaluate(model, suite(), data, Options(tmp_path))
    (finding,) = run.info.findings
    assert (finding.check, finding.level) == ("P6", "warn")
    assert finding.figure < 0 == finding.threshold
    assert run.summary["findings"][0] == finding.as_dict()
    assert run.summary["grade"] == "C"
    assert (run.info.preflight.n, run.info.preflight.forced) == (40, False)
    monkeypatch.setattr("harness.run.preflight.examine_model", lambda *_: pytest.fail("asked again"))
    again = evaluate(model, suite(), data, Options(tmp_path))
    assert again.info.findings == run.info.findings
    assert again.info.preflight == run.info.preflight


def test_a_wrong_unit_in_the_suite_stops_the_run(tmp_path):
    with pytest.raises(ModelRefused, match=r"P14: units: step_size 2 .* is above 1"):
        evaluate(loaded(SmallNet(), CLASSES), suite(step_size=2.0), sound(40), Options(tmp_path))


def test_a_buffer_that_moves_during_the_run_is_told(tmp_path):
    class Late(Counting):
        """Sound for the doctor's questions; changes when attacked."""

        def forward(self, images):
            if images.requires_grad and len(images) == 32:
                self.seen += 1
            return self.net(images)

    run = evaluate(loaded(Late().eval(), CLASSES), suite(), sound(80), Options(tmp_path))
    assert [(f["check"], f["level"]) for f in run.summary["findings"]] == [("P4", "error")]
    assert run.summary["grade"] == "D"


# ---------------------------------------------------------------- the command

MODEL = """
import torch
from torch import nn
from harness.inputs.find import find_data

class Means(nn.Module):
    def __init__(self, after):
        super().__init__()
        images, labels = find_data("signs").take(range(1290))
        means = torch.stack([images[labels == label].mean(0).flatten() for label in range(43)])
        self.register_buffer("means", means)
        self.after, self.num_classes = after, 43

    def forward(self, images):
        return self.after(images.flatten(1) @ self.means.T - self.means.square().sum(1) / 2)

def good():
    return Means(lambda y: y), {"num_classes": 43}

def soft():
    return Means(lambda y: y.softmax(1)), {"num_classes": 43}
"""


def test_doctor_and_eval_refuse_with_the_same_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MODEL)
    assert main(["doctor", "--model", "mine.py:good", "--device", "cpu"]) == 0
    assert "passed: P0 forward pass, P1" in capsys.readouterr().out
    assert main(["doctor", "--model", "mine.py:soft", "--device", "cpu"]) == 1
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("refuse: ")]
    assert main(["eval", "--model", "mine.py:soft", "--suite", "fgsm", "--n", "32", "--device", "cpu"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("harness: ")]
    assert told[0].removeprefix("refuse: ") in line
    words = ["--suite", "fgsm", "--n", "32", "--device", "cpu", "--eps", "1/255", "--json"]
    assert main(["eval", "--model", "mine.py:soft", "--force", *words]) == 0
    assert json.loads(capsys.readouterr().out)["grade"] == "D"


def test_doctor_prints_the_envelope(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MODEL)
    assert main(["doctor", "--model", "mine.py:soft", "--device", "cpu", "--json"]) == 1
    value = json.loads(capsys.readouterr().out)
    assert (value["command"], value["ok"]) == ("doctor", False)
    assert value["data"]["checks"]["P6"] is False
    assert value["data"]["checks"]["P1"] is True
    assert {finding["check"] for finding in value["findings"]} >= {"P6"}
