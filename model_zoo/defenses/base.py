"""What a defense is: a small dataclass with a loss; its fields are the ``--set`` options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from torch import Tensor, nn

from harness.errors import PluginError, UsageError
from harness.inputs.registry import Registry
from harness.types import Dataset, ModelCard
from model_zoo.numbers import number, spell
from model_zoo.training.loop import Settings
from model_zoo.training.progress import Progress

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass(frozen=True)
class TrainingContext:
    """What a defense that prepares the model, for instance by pre-training it, has at hand."""

    data: Dataset
    settings: Settings
    """Of the main training."""
    augment: Callable[[Tensor], Tensor] | None
    output: Path
    """The output folder: checkpoints of the preparation go there, too."""
    progress: Progress
    fingerprint: str
    """What determines the training besides the settings, as text: for the preparation's own checkpoint."""
    card: ModelCard
    """What is known before the training: name, defense, architecture, classes, shape, normalization, data."""
    init: str | None
    """Where the weights come from: None (random), ``imagenet``, or the output folder of another training."""


@dataclass(frozen=True)
class Defense:
    """Base of all training recipes: subclass as a frozen dataclass and write `loss`.

    Fields are of type float, int, bool or str and have defaults; that is all ``--set key=value`` needs.
    """

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The scalar to minimize on one batch: images [n,C,H,W] in [0,1], labels int64 [n].

        Called with `model` in train mode; it must be left in train mode, with gradients only from this loss.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no loss")

    def prepare(self, model: nn.Module, context: TrainingContext) -> dict[str, Any]:
        """Called once before the loop, with the model on its device; returns what the card's recipe shall say of it.

        Most defenses need no preparation. One that trains here must leave the same model when it is called again after
        an interruption: give `model_zoo.training.loop.fit` a checkpoint file in ``context.output``.
        """
        return {}

    @property
    def trained_for(self) -> dict[str, str]:
        """The threat model trained for, for the card: ``{"norm": "linf", "epsilon": "8/255"}``, or empty."""
        epsilon = getattr(self, "epsilon", 0.0)
        return {"norm": "linf", "epsilon": spell(epsilon)} if epsilon else {}

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """The defense with `options` (texts as from ``--set``, or values) in place of the defaults.

        Raises:
            UsageError: an unknown option or a value that does not parse; names the known ones.
        """
        types = {field.name: _type_name(field.type) for field in fields(cls)}
        values = {}
        for key, value in options.items():
            if key not in types:
                known = ", ".join(types) or "none"
                raise UsageError(f"{cls.__name__} has no option {key!r}; its options: {known}")
            values[key] = _parse(f"option {key}", types[key], value)
        return cls(**values)

    def options(self) -> dict[str, Any]:
        """All options with their values, as the card records them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def load_defense(name: str, options: Mapping[str, Any]) -> Defense:
    """The registered defense `name` with `options`.

    Raises:
        UnknownName: there is none.
        PluginError: what is registered is no defense.
        UsageError: as `Defense.from_options`.
    """
    kind = Registry("defenses").load(name)
    if not (isinstance(kind, type) and issubclass(kind, Defense)):
        raise PluginError(f"defense {name!r} is {kind!r}; expected a subclass of model_zoo's Defense")
    return kind.from_options(options)


def require(condition: bool, message: str) -> None:
    """Raise `UsageError` with `message` unless `condition` holds: for checks of options."""
    if not condition:
        raise UsageError(message)


def check_ball(epsilon: float, steps: int = 1, step_size: float = 1.0) -> None:
    """Refuse an epsilon, number of steps or step size that no training can mean."""
    require(0 < epsilon <= 1, f"epsilon is {epsilon}; images are in [0,1], so give for instance 8/255")
    require(steps >= 1, f"steps is {steps}; give at least 1")
    require(0 < step_size <= 2, f"step_size is {step_size}; give a share of [0,1] such as 2/255")


def check_shares(clean_share: float, label_smoothing: float) -> None:
    """Refuse a share of clean images or of the uniform distribution that is none."""
    require(0 <= clean_share < 1, f"clean_share is {clean_share}; give 0 to below 1")
    require(0 <= label_smoothing < 1, f"label_smoothing is {label_smoothing}; give 0 to below 1")


def _type_name(kind: Any) -> str:
    """A field's type as a word, whether its module postpones the evaluation of annotations or not."""
    return kind if isinstance(kind, str) else str(getattr(kind, "__name__", kind))


def _parse(what: str, kind: str, value: Any) -> Any:
    text = str(value).strip()
    if kind == "bool":
        require(text.lower() in _TRUE + _FALSE, f"{what} is {text!r}; give true or false")
        return text.lower() in _TRUE
    if kind == "int":
        parsed = number(text, what)
        require(parsed == int(parsed), f"{what} is {text!r}; give a whole number")
        return int(parsed)
    return number(text, what) if kind == "float" else text
