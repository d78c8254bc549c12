"""What an example is, and how its model and images are put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field

from torch import nn

from harness.testing.selftest.networks import MEAN, STD, Normalize, trained
from harness.testing.selftest.patterns import SHAPE, Patterns
from harness.types import Claim, LoadedModel, ModelCard

IMAGES, SEED = 96, 7


def images() -> Patterns:
    """The images of an example that needs none of its own."""
    return Patterns(IMAGES, SEED)


@dataclass(frozen=True)
class Example:
    """A model with images, and what the harness must say of it."""

    name: str
    about: str
    """What it is, in one line."""
    model: Callable[[], nn.Module]
    """Builds the module: images [n,3,16,16] in [0,1] to what it calls logits."""
    expects: tuple[str, ...] = ()
    """Checks that must all object: the one that refuses, or those that warn. None: a sound model, to be left alone."""
    _: KW_ONLY
    data: Callable[[], Patterns] = field(default=images)
    claim: float | None = None
    """Clean accuracy that its card claims."""
    training: bool = False
    """Whether it is handed over in train mode."""

    @property
    def sound(self) -> bool:
        """Whether nothing may be said against it."""
        return not self.expects

    def build(self) -> tuple[LoadedModel, Patterns]:
        """The model, with a card that names its normalization, and its images."""
        data = self.data()
        classes = len(data.classes)
        claims = {} if self.claim is None else {data.name: Claim(self.claim, 3000)}
        card = ModelCard(self.name, "none", "small", classes, SHAPE, MEAN, STD, claims=claims)
        module = self.model().train(self.training)
        return LoadedModel(self.name, module, classes, SHAPE, card=card), data


def classifier(name: str) -> nn.Module:
    """A trained network, wired as it should be: normalization inside, once."""
    return nn.Sequential(Normalize(), trained(name)).eval()
