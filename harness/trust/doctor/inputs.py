"""Checks that need no forward pass: the data, whether it fits the model, and the units of the suite."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from torch import Tensor

from harness.base.threat import Epsilon
from harness.evidence.findings import found
from harness.types import Dataset, Finding, Kind, LoadedModel, Norm, Threat

AttackUnits = tuple[str, Kind, Mapping[str, Mapping[str, Any]]]

SCALED_TWICE = 1.5 / 255
FAR = 4.0
"""Step sizes above this many epsilons are reported."""
CHANNELS = {
    3: "it takes one channel: gray images of folder, csv and hf are read so by ?channels=1 behind the path",
    1: "it takes three channels: folder, csv and hf read gray images so without ?channels=1; else repeat the channel"
    " inside the model",
}
"""What to do about a model that takes the other number of channels, by the channels of the images."""


def shape_and_classes(model: LoadedModel, data: Dataset, labels: Tensor | None = None) -> list[Finding]:
    """P15: the model has a logit for every class of the data set, by the same names, and takes images of its shape.

    Args:
        model: The model.
        data: The data set.
        labels: Labels of some samples, if they are known: they tell labels that count from 1.
    """
    classes = len(data.classes)
    if model.num_classes < classes and not model.guessed:  # else the forward pass fails, which is what there is to say
        from_one = labels is not None and model.num_classes == classes - 1 and int(labels.min()) >= 1
        advice = (
            "its labels seem to count from 1: subtract 1 (for arrays and csv, ?first=1 behind the path)"
            if from_one
            else "choose a model trained for this data set"
        )
        message = (
            f"model {model.name!r} has {model.num_classes} classes, data set {data.name!r} has {classes}; {advice}"
        )
        return [found("P15", "refuse", message, float(model.num_classes), float(classes))]
    if names := other_names(model, data):
        return [found("P15", "refuse", names)]
    if model.input_shape is not None:
        shape = tuple(data.take([0])[0].shape[1:])
        if shape != tuple(model.input_shape):
            advice = "choose a model trained for this data set"
            if {shape[0], model.input_shape[0]} == {1, 3}:
                advice = CHANNELS[shape[0]]
            elif shape[0] == model.input_shape[0]:
                advice += f", or resize (folder, csv and hf: ?size={model.input_shape[2]}x{model.input_shape[1]})"
            message = (
                f"model {model.name!r} takes images {tuple(model.input_shape)}, data set {data.name!r} has {shape};"
                f" {advice}"
            )
            return [found("P15", "refuse", message)]
    return []


def other_names(model: LoadedModel, data: Dataset) -> str:
    """How the class names of the model's card contradict those of the data; empty if they do not.

    They do where a name of the data set is the card's name of another class. Numbers are no names, and names that only
    one of them knows say nothing.
    """
    known = model.card.data.get("classes") if model.card is not None else None
    if not isinstance(known, Sequence) or isinstance(known, str):
        return ""
    of_card = {_plain(name): k for k, name in enumerate(known)}
    for k, name in enumerate(data.classes):
        there = of_card.get(_plain(name), k)
        if there != k and not _plain(name).isdigit() and (k >= len(known) or _plain(known[k]) != _plain(name)):
            return (
                f"class {k} of data set {data.name!r} is {str(name)!r}, which is class {there} of model {model.name!r}"
                " by its card; give the data set the model's order of classes"
            )
    return ""


def _plain(name: object) -> str:
    return "".join(c for c in str(name).casefold() if c.isalnum())


def pixels(images: Tensor, data: str) -> list[Finding]:
    """P1: images in [0,1] (`harness.inputs.samples.checked` holds them to that) that use the range."""
    highest = float(images.max())
    if highest > SCALED_TWICE:
        return []
    message = f"the brightest pixel of {len(images)} images of {data} is {highest:.2g}; were they divided by 255 twice?"
    return [found("P1", "refuse", message, highest, SCALED_TWICE)]


def more_classes(model: LoadedModel, data: Dataset, logits: Tensor) -> list[Finding]:
    """P15: predictions outside the data's classes are wrong by construction, so every attack would shine."""
    outside = float((logits.argmax(1) >= len(data.classes)).float().mean())
    if outside == 0:
        return []
    message = (
        f"{100 * outside:.1f} % of the predictions are classes that data set {data.name!r} does not have"
        f" ({model.num_classes} logits, {len(data.classes)} classes)"
    )
    return [found("P15", "warn", message, outside, 0.0)]


def units(
    attacks: Iterable[AttackUnits], norm: Norm, grid: Sequence[Epsilon], threat: Threat = "ball"
) -> list[Finding]:
    """P14: step sizes in the unit of the images, and long enough to reach the border of the ball.

    Args:
        attacks: Id, kind and, by epsilon label, the resolved parameters.
        norm: Norm of the ball.
        grid: The epsilons.
        threat: Under a patch every pixel may move by 1, whatever share is covered.
    """
    findings = []
    for name, kind, resolved in attacks:
        if kind not in ("budget", "targeted"):
            continue  # the others have no ball to step through
        given = [
            (1.0 if threat == "patch" else epsilon.value, epsilon.label, resolved.get(epsilon.label, {}))
            for epsilon in grid
        ]
        steps = [one for one in given if one[0] > 0 and isinstance(one[2].get("step_size"), (int, float))]
        if steps:  # a step that scales is the same multiple everywhere, a constant one too long here or too short there
            small, large = min(steps, key=itemgetter(0)), max(steps, key=itemgetter(0))
            findings += _too_long(name, *small, norm) or _too_short(name, *large)
    return findings


def _too_long(name: str, epsilon: float, label: str, given: Mapping[str, Any], norm: Norm) -> list[Finding]:
    step = float(given["step_size"])
    if norm == "linf" and step > 1:
        message = f"step_size {step:g} of attack {name!r} is above 1, but images are in [0,1]; write {step:g}/255"
        return [found("P14", "refuse", message, step, 1.0)]
    if step > FAR * epsilon:
        message = f"step_size {step:g} of attack {name!r} is {step / epsilon:.1f} epsilons at {label}: a wrong unit?"
        return [found("P14", "warn", message, step / epsilon, FAR)]
    return []


def _too_short(name: str, epsilon: float, label: str, given: Mapping[str, Any]) -> list[Finding]:
    steps, step = given.get("steps"), float(given["step_size"])
    if isinstance(steps, int) and steps * step < 0.99 * epsilon:
        message = f"attack {name!r} takes {steps} steps of {step:g} at {label} and cannot cross its ball"
        return [found("P14", "warn", message, steps * step / epsilon, 1.0)]
    return []
