"""Models for the doctor, sound ones and wrapped ones, and what it says of them."""

import torch
from torch import nn
from toys import SmallNet, labeled

from harness.trust.doctor import examine_model
from harness.types import LoadedModel, ModelCard

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


class Counting(nn.Module):
    """Keeps a count of its queries in a buffer."""

    def __init__(self):
        super().__init__()
        self.net = SmallNet()
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, images):
        self.seen += len(images)
        return self.net(images)
