"""A whole training, from the names of its parts to the folder it leaves behind."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from torch import nn

from harness.errors import BadData, HarnessError, PluginError, UsageError
from harness.inputs.corruptions.data import under_corruptions
from harness.inputs.find import data_name
from harness.inputs.registry import Registry, stranger
from harness.inputs.seen import sets_of, sources_of
from harness.types import Claim, DataRequest, Dataset, ModelCard
from model_zoo.datasets.base import Concatenated, content_hash
from model_zoo.defenses.base import Defense, TrainingContext, load_defense
from model_zoo.loading import architectures
from model_zoo.numbers import number, spell
from model_zoo.recipe.chance import near_chance
from model_zoo.recipe.overfitting import overfitting_epoch
from model_zoo.recipe.validate import Validator
from model_zoo.training import checkpoint, initial
from model_zoo.training.augment import Augmentation
from model_zoo.training.clean_accuracy import clean_accuracy
from model_zoo.training.loop import Settings, fit
from model_zoo.training.output import CARD, RESUME, finish, provenance, save_seen, save_weights
from model_zoo.training.progress import Progress

QUICK_EPSILON = 2 / 255
"""Epsilon of the quick validation attacks where the defense names none."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that determines a training."""

    defense: str
    options: Mapping[str, Any] = field(default_factory=dict)
    data: Sequence[str] = ("signs",)
    """Names of data sets, each with an optional argument: ``gtsrb``, ``signs:34000``."""
    arch: str = "resnet18"
    init: str | None = None
    """None, ``imagenet``, or the output folder of another training."""
    settings: Settings = field(default_factory=Settings)
    augment: float = 1.0
    """Strength of the augmentation; 0 for none."""
    cutout: float = 0.0
    """Side of the square that is cut out of every image, as a share of the image's side; 0 for none."""


def recipe_of(options: Mapping[str, Any]) -> Recipe:
    """The recipe that options of ``harness train`` make, by the keys of a recipe's TOML (`model_zoo.recipe.named`)."""
    rest = dict(options)
    parts = {key: rest.pop(key) for key in ("defense", "data", "arch", "init", "augment", "cutout") if key in rest}
    return Recipe(options=rest.pop("set", {}), settings=Settings(**rest), **parts)


@dataclass(frozen=True)
class Data:
    """The training sets as one, the validation sets one by one, and the hashes of them all."""

    train: Concatenated
    val: list[Dataset]
    hashes: dict[str, dict[str, Any]]

    @property
    def shape(self) -> tuple[int, int, int]:
        """C, H, W of the images."""
        channels, height, width = self.train.take([0])[0].shape[1:]
        return channels, height, width


def train(
    recipe: Recipe, output: Path, *, data_root: Path | None = None, device: str = "auto", console: Console | None = None
) -> ModelCard:
    """Train and write ``card.toml``, ``weights.safetensors`` and ``history.json`` into `output`.

    An interrupted training goes on from where it was when it is started again with the same arguments. The last epoch
    is the result; nothing is selected, least of all by test images.

    Raises:
        UsageError: unusable options, or `output` already holds a finished training.
        BadData, UnknownName, TrainingFailed: as the parts say.
    """
    if (output / CARD).exists():
        raise UsageError(f"{output} already holds a finished training; give another output folder")
    defense, target = load_defense(recipe.defense, recipe.options), _device(device)
    recipe = replace(recipe, settings=recipe.settings.on(target))
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"output folder {output} cannot be made: {error.strerror}; give another one") from None
    augment = _augmentation(recipe)
    report = Progress(console, recipe.settings.epochs, recipe.defense)
    report.say(f"data: {', '.join(recipe.data)}")
    data = _load_data(recipe, data_root)
    model, mean, std, source = _start(recipe, data)
    model.to(target)
    epsilon = number(defense.trained_for.get("epsilon", QUICK_EPSILON))
    fingerprint = _fingerprint(recipe, defense, data, source)
    start = initial.start_card(recipe.init)
    card = ModelCard(
        name=output.resolve().name,
        defense=recipe.defense,
        architecture=recipe.arch,
        num_classes=len(data.train.classes),
        input_shape=data.shape,
        mean=mean,
        std=std,
        data={"sets": list(recipe.data), "classes": list(data.train.classes), **data.hashes, **_before(start, data)},
    )
    with report, _named(recipe.defense):
        context = TrainingContext(data.train, recipe.settings, augment, output, report, fingerprint, card, recipe.init)
        prepared = defense.prepare(model, context)
        history = fit(
            model,
            defense.loss,
            data.train,
            recipe.settings,
            augment=augment,
            validate=Validator(datasets=data.val, epsilon=epsilon),
            resume=output / RESUME,
            fingerprint=fingerprint,
            progress=report,
        )
    weights = save_weights(model, output)
    overfitted = overfitting_epoch(history) if defense.trained_for else None
    if overfitted:
        report.say(f"catastrophic overfitting in epoch {overfitted}: quick-PGD accuracy collapsed, FGSM accuracy rose")
    claims = {part.name: Claim(*clean_accuracy(model, part)) for part in data.val}
    doubts = [told for part in data.val if (told := near_chance(claims[part.name].accuracy, part))]
    for told in doubts:
        report.say(told)
    card = replace(
        card,
        trained_for=defense.trained_for,
        data={**card.data, "seen": save_seen(data.train, start, output)},
        recipe={
            "init": source or "random",
            **{
                k: v for k, v in asdict(recipe.settings).items() if k not in ("seed", "precision", "checkpoint_seconds")
            },
            "optimizer": f"AdamW, {'one cycle' if recipe.settings.schedule == 'cycle' else 'constant rate'}",
            "options": defense.options(),
            "augmentation": asdict(augment) if augment else "none",
            "quick_validation": {"epsilon": spell(epsilon), "pgd_steps": Validator.steps},
            "selection": "last epoch",
            **({"catastrophic_overfitting_epoch": overfitted} if overfitted else {}),
            **prepared,
        },
        claims=claims,
        notes=" ".join(doubts),
        weights=weights,
        provenance=provenance(recipe.settings, target, history[-1]["seconds"] / 60),
    )
    finish(card, history, output)
    return replace(card, path=output / CARD)


@contextmanager
def _named(defense: str) -> Iterator[None]:
    """A stranger's defense that fails is named with its package.

    Raises:
        PluginError: it raised something of its own.
    """
    try:
        yield
    except (HarnessError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        package = stranger("defenses", defense)
        if package is None:
            raise
        words = f"defense {defense!r} of package {package} failed with {type(error).__name__}: {error}"
        raise PluginError(words) from error


def load_dataset(text: str, split: Literal["train", "val", "test"], root: Path | None, seed: int = 0) -> Dataset:
    """The data set that `text` names, with what stands behind a colon as its argument."""
    name, argument = data_name(text)
    plugin = Registry("datasets").load(name)
    return under_corruptions(plugin(DataRequest(split=split, root=root, argument=argument or None, seed=seed)), text)


def _load_data(recipe: Recipe, root: Path | None) -> Data:
    seed = recipe.settings.seed
    parts = [load_dataset(text, "train", root, seed) for text in recipe.data]
    held_out = [load_dataset(text, "val", root, seed) for text in recipe.data]
    for text, part, val in zip(recipe.data, parts, held_out, strict=True):
        if tuple(part.classes) != tuple(val.classes):
            raise BadData(
                f"data set {text}: the classes of training ({_few(part.classes)}) and validation"
                f" ({_few(val.classes)}) differ, so their labels mean different things; give both the same"
            )
    hashes = {part.name: _described(part) for part in [*parts, *held_out]}
    return Data(Concatenated(parts), held_out, hashes)


def _described(part: Dataset) -> dict[str, Any]:
    """A set for the card."""
    sources = sources_of(part)
    return {"n": len(part), "sha256": content_hash(part), **({"sources": dict(sources)} if sources else {})}


def _before(start: ModelCard | None, data: Data) -> dict[str, Any]:
    """The sets that the weights of the start have seen and this training does not name: the card's ``data.start``."""
    sets = sets_of(start) if start is not None else {}
    other = {name: table for name, table in sets.items() if table != data.hashes.get(name)}
    return {"start": other} if other else {}


def _few(names: Sequence[str]) -> str:
    """The first of many class names."""
    return ", ".join(names[:8]) + (f", ... {len(names)} in all" if len(names) > 8 else "")


def _start(recipe: Recipe, data: Data) -> tuple[nn.Module, tuple[float, ...], tuple[float, ...], str | None]:
    """The model to train, its normalization, and where its weights come from."""
    mean, std = initial.statistics(data.train, recipe.init)
    checkpoint.seed_everything(recipe.settings.seed)
    model = architectures.build(recipe.arch, len(data.train.classes), data.shape, mean, std)
    architectures.check_trainable(model, recipe.arch, len(data.train.classes), data.shape)
    return model, mean, std, initial.initialize(architectures.unwrap(model), recipe.arch, recipe.init)


def _augmentation(recipe: Recipe) -> Augmentation | None:
    """What the recipe does to the images of a batch; None for nothing.

    Raises:
        UsageError: the strength or the cutout is out of range.
    """
    if not 0 <= recipe.cutout < 1:
        raise UsageError(f"cutout is {recipe.cutout}; give a share of the image's side below 1, such as 0.25")
    if not recipe.augment and not recipe.cutout:
        return None
    return replace(Augmentation.of_strength(recipe.augment), cutout=recipe.cutout)


def _fingerprint(recipe: Recipe, defense: Defense, data: Data, source: str | None) -> str:
    """All that determines the training besides the loop's settings: a checkpoint of another one is refused."""
    parts = {
        "defense": recipe.defense,
        "options": defense.options(),
        "data": {name: {"n": table["n"], "sha256": table["sha256"]} for name, table in data.hashes.items()},
        "arch": recipe.arch,
        "init": source,
        "augment": recipe.augment,
        **({"cutout": recipe.cutout} if recipe.cutout else {}),
    }
    return json.dumps(parts, sort_keys=True)


def _device(text: str) -> torch.device:
    if text == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(text)
    except RuntimeError:
        raise UsageError(f"device is {text!r}; give auto, cpu, cuda or cuda:1") from None
    if device.type not in ("cpu", "cuda") or (device.type == "cuda" and not torch.cuda.is_available()):
        raise UsageError(f"device {text!r} is not available here; give cpu or auto")
    return device
