"""Contrastive pre-training as a phase of a training: resumable, and written as encoders that others can start from."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, fields, replace
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from harness.errors import TrainingFailed, UsageError
from harness.types import ModelCard
from model_zoo.defenses.base import TrainingContext
from model_zoo.defenses.contrastive.loss import ContrastiveLoss, contrastive_loss
from model_zoo.defenses.contrastive.network import Encoder
from model_zoo.loading import architectures
from model_zoo.loading.card_file import read_card, write_card
from model_zoo.training import initial, output
from model_zoo.training.loop import Settings, fit

CHECKPOINT = "pretrain.pt"
NOTES = "An encoder without a classifier: start a training from it with --init."


class _Framework(Protocol):
    """What pre-training needs of a defense, a dataclass of options; documented at `frameworks.Contrastive`."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    framework: ClassVar[str]
    branches: ClassVar[tuple[str, ...]]

    @property
    def branch(self) -> str: ...
    @property
    def pretrain_epochs(self) -> int: ...
    @property
    def pretrain_lr(self) -> float: ...
    @property
    def supervised(self) -> bool: ...
    @property
    def temperature(self) -> float: ...
    @property
    def embedding(self) -> int: ...
    def contrast(self, encoder: Encoder, views: Tensor, labels: Tensor, loss: ContrastiveLoss) -> Tensor: ...
    def options(self) -> dict[str, Any]: ...
    def pretraining_options(self) -> dict[str, Any]: ...


def pretrain(defense: _Framework, model: nn.Module, context: TrainingContext) -> dict[str, Any]:
    """Leave a pre-trained encoder in `model`, whose classifier stays as it is; says for the card how it came about.

    Pre-training is skipped where ``--init`` already is an encoder, and where this output folder has one: then, and also
    right after pre-training, the encoder is read from its file, so that all ways lead to the same weights.

    Raises:
        UsageError: the encoder found was pre-trained otherwise, or there is no augmentation to make two views.
        TrainingFailed: the loss is not finite.
    """
    given = _encoder_card(context.init)
    if given is not None:
        context.progress.say(f"pre-training: skipped, {context.init} is pre-trained")
        return _taken_over(defense, given, context.init)
    if not defense.pretrain_epochs:
        context.progress.say("pre-training: none, as pretrain_epochs is 0")
        return {"pretraining": {"framework": defense.framework, "epochs": 0}}
    settings = replace(context.settings, epochs=defense.pretrain_epochs, lr=defense.pretrain_lr)
    fingerprint = f"pre-training {context.fingerprint}"
    identity = hashlib.sha256(f"{asdict(settings)} {fingerprint}".encode()).hexdigest()
    folder = context.output / f"encoder-{defense.branch}"
    if (context.output / CHECKPOINT).exists() or not (folder / output.CARD).exists():
        _run(defense, model, context, settings, fingerprint, identity)
    card = read_card(folder / output.CARD)
    if card.recipe.get("identity") != identity:
        raise UsageError(
            f"{folder} was pre-trained with other settings; give another output folder, or remove it to start over"
        )
    initial.initialize(architectures.unwrap(model), card.architecture, str(folder))
    return {"pretraining": card.recipe["pretraining"]}


def _run(
    defense: _Framework,
    model: nn.Module,
    context: TrainingContext,
    settings: Settings,
    fingerprint: str,
    identity: str,
) -> None:
    """Train a copy of `model` and write it, one folder a branch; the checkpoint goes when everything is written."""
    augment = context.augment
    if augment is None:
        raise UsageError("contrastive pre-training compares two augmented views; give an --augment above 0")
    loss = contrastive_loss(defense.supervised, defense.temperature)
    device = next(model.parameters()).device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)  # the head, drawn again alike when the training goes on
        encoder = Encoder(model, defense.branches, defense.embedding)

    def two_views(images: Tensor) -> Tensor:
        return torch.cat([augment(images), augment(images)])

    def step(network: nn.Module, views: Tensor, labels: Tensor) -> Tensor:
        return defense.contrast(encoder, views, labels, loss)

    with context.progress.phase(f"{defense.framework} pre-training", settings.epochs) as progress:
        try:
            history = fit(
                encoder,
                step,
                context.data,
                settings,
                augment=two_views,
                resume=context.output / CHECKPOINT,
                fingerprint=fingerprint,
                progress=progress,
            )
        except TrainingFailed as error:
            raise TrainingFailed(f"pre-training: {error}; here that is --set pretrain_lr") from None
    minutes = history[-1]["seconds"] / 60
    for branch in defense.branches:
        folder = context.output / f"encoder-{branch}"
        folder.mkdir(parents=True, exist_ok=True)
        weights = output.save_weights(encoder.extract(branch), folder)
        table = {
            "framework": defense.framework,
            "branch": branch,
            "loss": "SupCon" if defense.supervised else "NT-Xent",
            "epochs": settings.epochs,
            "batch_size": settings.batch_size,
            "lr": settings.lr,
            "weight_decay": settings.weight_decay,
            "loss_by_epoch": [round(row["loss"], 4) for row in history],
            "minutes": round(minutes, 1),
            "encoder": weights["sha256"],
        }
        card = replace(
            context.card,
            name=f"{context.card.name}-encoder-{branch}",
            recipe={"options": defense.pretraining_options(), "pretraining": table, "identity": identity},
            weights=weights,
            provenance=output.provenance(settings, device, minutes),
            notes=NOTES,
        )
        write_card(card, folder / output.CARD)
    (context.output / CHECKPOINT).unlink()


def _encoder_card(init: str | None) -> ModelCard | None:
    """The card of what ``--init`` names, if it is an encoder as contrastive pre-training left it.

    The card of a fine-tuned model tells of its pre-training, too, but holds other weights than the encoder's.
    """
    if init is None or init == initial.IMAGENET or not initial.card_path(init).exists():
        return None
    card = read_card(initial.card_path(init))
    encoder = card.recipe.get("pretraining", {}).get("encoder")
    return card if encoder is not None and encoder == card.weights.get("sha256") else None


def _taken_over(defense: _Framework, card: ModelCard, init: str | None) -> dict[str, Any]:
    """The record of an encoder that another training made, in place of this one's options, which played no part."""
    table, made_with = card.recipe["pretraining"], card.recipe["options"]
    if table["framework"] != defense.framework:
        raise UsageError(
            f"--init {init} was pre-trained by {table['framework']}, not {defense.framework};"
            f" give --defense {table['framework']}"
        )
    defaults = {part.name: part.default for part in fields(defense)}
    for key, value in defense.pretraining_options().items():
        if value not in (defaults[key], made_with[key]):
            raise UsageError(
                f"--init {init} was pre-trained with {key}={made_with[key]}, not {value}; leave --set {key} away"
            )
    pretraining = {key: made_with[key] for key in defense.pretraining_options()}
    return {"options": {**defense.options(), **pretraining}, "pretraining": table}
