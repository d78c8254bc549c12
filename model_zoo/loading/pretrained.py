"""``torchvision:NAME``, ``timm:NAME`` and ``transformers:DIR``: pretrained classifiers, normalization inside."""

from __future__ import annotations

from typing import Any

import torchvision
from torch import nn

from harness.errors import BadWeights, MissingPackage, UnknownName
from harness.inputs.outputs import LogitsOf
from harness.types import LoadedModel
from model_zoo.loading.architectures import Normalized
from model_zoo.loading.options import known_only, split
from model_zoo.loading.weights_file import state_sha256


def torchvision_model(text: str) -> LoadedModel | None:
    """``torchvision:resnet50`` or ``torchvision:resnet50?weights=IMAGENET1K_V1``; the weights' own preprocessing.

    Resizing and cropping are the data set's business: images come at the size the weights were evaluated at.

    Raises:
        UnknownName: no such classifier, or no such weights of it.
        BadWeights: they cannot be fetched.
    """
    if not text.startswith("torchvision:"):
        return None
    name, given = split(text.removeprefix("torchvision:"))
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise UnknownName("torchvision model", name, known)
    known_only(given, ("weights",), text)
    chosen = given.get("weights", "DEFAULT")
    kinds = torchvision.models.get_model_weights(name)
    if chosen != "DEFAULT" and chosen not in kinds.__members__:
        raise UnknownName(f"weights of torchvision's {name}", chosen, kinds.__members__)
    weights = kinds[chosen]
    try:
        state = weights.get_state_dict(progress=True, check_hash=True)
    except Exception as error:  # network, disk or hash: torch.hub raises several kinds
        raise BadWeights(f"{text}: weights cannot be fetched ({type(error).__name__}: {error})") from error
    preset = weights.transforms()
    network = torchvision.models.get_model(name, weights=None, num_classes=len(weights.meta["categories"]))
    network.load_state_dict(state)
    model = Normalized(network, preset.mean, preset.std).eval()
    side = preset.crop_size[0]
    shape = (3, side, side)
    return LoadedModel(f"{name}-{weights.name}", model, len(weights.meta["categories"]), shape, state_sha256(model))


def timm_model(text: str) -> LoadedModel | None:
    """``timm:resnet18.a1_in1k`` or ``hf-hub:timm/resnet18.a1_in1k``: timm's classifiers, normalized as configured.

    Resizing and cropping are the data set's business: images come at the size the weights were trained for.

    Raises:
        MissingPackage: timm is not installed.
        UnknownName: timm has no model of that name.
        BadWeights: its weights cannot be fetched.
    """
    if not text.startswith(("timm:", "hf-hub:")):
        return None
    name, given = split(text.removeprefix("timm:"))
    known_only(given, (), text)
    timm = timm_package(text)
    if text.startswith("timm:") and not timm.is_model(name):
        raise UnknownName("timm model", name, timm.list_models(pretrained=True))
    try:
        network = timm.create_model(name, pretrained=True)
    except Exception as error:  # the hub's errors are many
        raise BadWeights(f"{text}: weights cannot be fetched ({type(error).__name__}: {error})") from error
    settings = network.pretrained_cfg
    model = Normalized(network, settings["mean"], settings["std"]).eval()
    channels, height, width = settings["input_size"]
    called = name.rpartition("/")[2]
    return LoadedModel(called, model, int(network.num_classes), (channels, height, width), state_sha256(model))


def timm_package(text: str) -> Any:
    """The package timm; `text` is what needs it.

    Raises:
        MissingPackage: it is not installed.
    """
    try:
        import timm  # type: ignore[import-not-found,unused-ignore]
    except ModuleNotFoundError:
        raise MissingPackage(f"{text} needs timm; install it with: pip install 'robustness-harness[timm]'") from None
    return timm


def transformers_model(text: str) -> LoadedModel | None:
    """``transformers:DIR`` or ``transformers:ORG/NAME``: an image classifier of Hugging Face, normalized as configured.

    A name that is no folder is looked for among the files that the hub's client has in its cache; nothing is fetched.
    It returns an object, of which the logits are measured (`harness.inputs.outputs`).

    Raises:
        MissingPackage: transformers is not installed.
        BadWeights: no such classifier, or it is not on this machine.
    """
    if not text.startswith("transformers:"):
        return None
    name, given = split(text.removeprefix("transformers:"))
    known_only(given, (), text)
    try:
        import transformers  # type: ignore[import-not-found,unused-ignore]
    except ModuleNotFoundError:
        raise MissingPackage(
            f"{text} needs transformers; install it with: pip install 'robustness-harness[transformers]'"
        ) from None
    try:
        network = transformers.AutoModelForImageClassification.from_pretrained(name, local_files_only=True)
        processor = transformers.AutoImageProcessor.from_pretrained(name, local_files_only=True)
    except Exception as error:  # the hub's errors are many
        what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise BadWeights(f"{text} cannot be loaded from a folder or the hub's cache ({what})") from None
    mean, std = getattr(processor, "image_mean", None), getattr(processor, "image_std", None)
    model: nn.Module = LogitsOf(network, "logits")
    if mean and std and getattr(processor, "do_normalize", True):
        model = Normalized(model, mean, std)
    model.eval()
    size = getattr(processor, "crop_size", None) or getattr(processor, "size", None) or {}
    shape = (3, int(size["height"]), int(size["width"])) if {"height", "width"} <= set(size) else None
    called = name.rstrip("/").rpartition("/")[2]
    return LoadedModel(called, model, int(network.config.num_labels), shape, state_sha256(model))
