"""Adversarial contrastive pre-training (Jiang et al., 2020), then fine-tuning by any defense: `s2s`, `a2s`, `a2a`.

"Robust Pre-Training by Adversarial Contrastive Learning", arXiv:2010.13337. Each image gives two augmented views, and
the encoder learns to embed them alike. In S2S both views are clean, in A2S one is adversarial, in A2A both are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from harness.base.torch_state import eval_mode
from model_zoo.defenses.base import Defense, TrainingContext, check_ball, load_defense, require
from model_zoo.defenses.contrastive.loss import ContrastiveLoss
from model_zoo.defenses.contrastive.network import ADVERSARIAL, CLEAN, Encoder
from model_zoo.defenses.contrastive.pretraining import pretrain
from model_zoo.defenses.contrastive.views import adversarial_views
from model_zoo.defenses.standard import Standard


@dataclass(frozen=True)
class Finetuning:
    """The defense that trains the pre-trained encoder: ``--set finetune=NAME --set finetune.OPTION=VALUE``."""

    name: str = "standard"
    defense: Defense = field(default_factory=Standard)


@dataclass(frozen=True, kw_only=True)
class Contrastive(Defense):
    """What the three frameworks share: pre-training in `prepare`, and the fine-tuning's loss as their own."""

    framework: ClassVar[str]
    branches: ClassVar[tuple[str, ...]]
    """Kinds of input, each with batch norms of its own."""

    finetune: Finetuning = Finetuning()
    pretrain_epochs: int = 10
    """0 for none: then this is the fine-tuning defense under another name."""
    pretrain_lr: float = 1e-3
    """Peak learning rate of pre-training; batch size, weight decay and schedule are the fine-tuning's."""
    supervised: bool = True
    """SupCon, which pulls all images of a class together; else NT-Xent, which needs no labels."""
    temperature: float = 0.1
    embedding: int = 128
    """Width of the projection head's output."""

    def __post_init__(self) -> None:
        nested = isinstance(self.finetune.defense, Contrastive)
        require(not nested, f"finetune is {self.finetune.name!r}, itself a pre-training; give standard, trades, ...")
        require(self.pretrain_epochs >= 0, f"pretrain_epochs is {self.pretrain_epochs}; give at least 0")
        require(0 < self.pretrain_lr < math.inf, f"pretrain_lr is {self.pretrain_lr}; give for instance 1e-3")
        require(0 < self.temperature < math.inf, f"temperature is {self.temperature}; give for instance 0.1")
        require(self.embedding >= 2, f"embedding is {self.embedding}; give a width of at least 2")

    def contrast(self, encoder: Encoder, views: Tensor, labels: Tensor, loss: ContrastiveLoss) -> Tensor:
        """The loss of pre-training on one batch: `views` [2n,C,H,W] are all first, then all second views of n images.

        Called with `encoder` in train mode, in which it is left.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no contrast")

    @property
    def branch(self) -> str:
        """Whose batch norms the fine-tuned model gets.

        Where there are two, those that saw the kind of input the fine-tuning trains on, as in the paper's published
        commands: adversarial for a defense that trains on perturbed images, else clean.
        """
        if len(self.branches) == 1:
            return self.branches[0]
        return ADVERSARIAL if self.finetune.defense.trained_for else CLEAN

    def prepare(self, model: nn.Module, context: TrainingContext) -> dict[str, Any]:
        """Pre-train the encoder, or take the one that ``--init`` names; then whatever the fine-tuning prepares."""
        return pretrain(self, model, context) | self.finetune.defense.prepare(model, context)

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The fine-tuning's loss."""
        return self.finetune.defense.loss(model, images, labels)

    @property
    def trained_for(self) -> dict[str, str]:
        """The fine-tuning's threat model: of the pre-training's nothing is promised."""
        return self.finetune.defense.trained_for

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """As of any defense; ``finetune`` names a defense, and ``finetune.KEY`` is its option ``KEY``."""
        nested = {key.removeprefix("finetune."): v for key, v in options.items() if key.startswith("finetune.")}
        name = str(options.get("finetune", "standard")).strip()
        own = {key: v for key, v in options.items() if key != "finetune" and not key.startswith("finetune.")}
        return replace(super().from_options(own), finetune=Finetuning(name, load_defense(name, nested)))

    def pretraining_options(self) -> dict[str, Any]:
        """The options that shape the encoder."""
        return {part.name: getattr(self, part.name) for part in fields(self) if part.name != "finetune"}

    def options(self) -> dict[str, Any]:
        """All options, the fine-tuning's as ``finetune.KEY``."""
        tuning = self.finetune
        return {
            **self.pretraining_options(),
            "finetune": tuning.name,
            **{f"finetune.{key}": value for key, value in tuning.defense.options().items()},
        }


@dataclass(frozen=True)
class S2S(Contrastive):
    """Standard to standard: plain contrastive pre-training, both views clean (SimCLR)."""

    framework = "s2s"
    branches = (CLEAN,)

    def contrast(self, encoder: Encoder, views: Tensor, labels: Tensor, loss: ContrastiveLoss) -> Tensor:
        """Both views in one pass."""
        first, second = encoder(views, CLEAN).chunk(2)
        return loss(first, second, labels)


@dataclass(frozen=True)
class AdversarialContrastive(Contrastive):
    """Options of the frameworks with adversarial views."""

    epsilon: float = 8 / 255
    """Of the adversarial views."""
    method: str = "pgd"
    """``pgd``, or ``yopo``, whose inner steps go through the first layer only."""
    steps: int = 2
    """Passes through the whole encoder: PGD's steps, YOPO's m."""
    inner_steps: int = 1
    """YOPO's n: steps after each such pass."""
    step_size: float = 4 / 255

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ball(self.epsilon, self.steps, self.step_size)
        require(self.method in ("pgd", "yopo"), f"method is {self.method!r}; give pgd or yopo")
        if self.method == "pgd":
            require(self.inner_steps == 1, f"inner_steps is {self.inner_steps}, which only method=yopo takes")
        else:
            # YOPO-m-1 is PGD-m: nobody shall get the one under the name of the other.
            require(
                self.inner_steps >= 2, f"inner_steps is {self.inner_steps}; method=yopo needs at least 2, such as 3"
            )

    def perturb(self, encoder: Encoder, objective: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """The adversarial views around `images` [n,C,H,W] that `objective`, a loss of `encoder`, makes."""
        return adversarial_views(
            encoder,
            objective,
            images,
            epsilon=self.epsilon,
            steps=self.steps,
            step_size=self.step_size,
            inner_steps=self.inner_steps,
        )


@dataclass(frozen=True)
class A2S(AdversarialContrastive):
    """Adversarial to standard: the first view is adversarial, the second clean, each with its own batch norms."""

    framework = "a2s"
    branches = (CLEAN, ADVERSARIAL)

    def contrast(self, encoder: Encoder, views: Tensor, labels: Tensor, loss: ContrastiveLoss) -> Tensor:
        """The first view moves away from the second one's embedding, which stays where it is meanwhile."""
        first, second = views.chunk(2)
        with eval_mode(encoder), torch.no_grad():
            anchor = encoder(second, CLEAN)
        moved = self.perturb(encoder, lambda images: loss(encoder(images, ADVERSARIAL), anchor, labels), first)
        return loss(encoder(moved, ADVERSARIAL), encoder(second, CLEAN), labels)


@dataclass(frozen=True)
class A2A(AdversarialContrastive):
    """Adversarial to adversarial: both views are moved, together and against each other."""

    framework = "a2a"
    branches = (ADVERSARIAL,)

    def contrast(self, encoder: Encoder, views: Tensor, labels: Tensor, loss: ContrastiveLoss) -> Tensor:
        """Both views in one pass."""

        def objective(images: Tensor) -> Tensor:
            first, second = encoder(images, ADVERSARIAL).chunk(2)
            return loss(first, second, labels)

        return objective(self.perturb(encoder, objective, views))
