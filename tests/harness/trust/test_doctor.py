"""The doctor: every check has a model that must trip it, and sound models trip none."""

from dataclasses import replace

import pytest
import torch
from patients import CLASSES, MEAN, STD, Counting, Waves, Wrapped, card, examined, said, sound, wavy
from torch import nn
from toys import Linear, SmallNet, labeled

from harness.base.statistics import binomial_at_least, binomial_at_most, fisher, mcnemar_one_sided
from harness.evidence.findings import CHECKS
from harness.trust.doctor.answers import determinism
from harness.trust.doctor.probe import Probe

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


def test_coarse_logits_hide_no_gradient():
    """Of bfloat16 near 100 the steps are 1/2: most steps of 1/255 change no margin, and those that do go uphill."""
    report = examined(Wrapped(after=lambda y: (y + 100).bfloat16()))
    assert [finding for finding in report.findings if finding.check == "P7"] == []


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
