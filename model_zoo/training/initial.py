"""Where a training starts: at random, from ImageNet's weights, from another training's folder, or from the zoo."""

from __future__ import annotations

from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from harness.errors import BadWeights, UsageError
from harness.inputs.registry import is_plain_name
from harness.types import Dataset, ModelCard
from model_zoo.loading.architectures import last_linear
from model_zoo.loading.card_file import read_card
from model_zoo.loading.from_card import MODEL_CARDS, verified_weights
from model_zoo.loading.weights_file import read_weights, sha256_of

IMAGENET = "imagenet"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def statistics(data: Dataset, init: str | None, rows: int = 5000) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Per-channel mean and standard deviation that go inside the model.

    Those the initial weights were trained with, else measured on evenly spaced `rows` of the training data, to four
    places.
    """
    if init == IMAGENET:
        return IMAGENET_MEAN, IMAGENET_STD
    if (card := start_card(init)) is not None:
        return card.mean, card.std
    step = max(1, len(data) // rows)
    images, _ = data.take(range(0, len(data), step))
    mean, std = images.double().mean(dim=(0, 2, 3)), images.double().std(dim=(0, 2, 3))
    return tuple(round(v, 4) for v in mean.tolist()), tuple(max(round(v, 4), 1e-4) for v in std.tolist())


def initialize(network: nn.Module, arch: str, init: str | None) -> str | None:
    """Load the initial weights that `init` names into `network`; says what they were, for the card.

    The classifier at the end is left at random where the weights have none or one of another class count.

    Raises:
        UsageError: no such folder and no such checkpoint, or ImageNet's weights cannot be fetched.
        BadWeights: the weights are of another architecture, or not those of their card.
    """
    if init is None:
        return None
    if init == IMAGENET:
        tensors, source = _imagenet(arch), f"imagenet ({arch}, torchvision's default weights)"
    else:
        path = _weights(init)
        tensors, source = read_weights(path), f"{Path(init).name} (sha256 {sha256_of(path)})"
    own = network.state_dict()
    fitting = {k: v for k, v in tensors.items() if k in own and own[k].shape == v.shape}
    head = last_linear(network)
    absent = [k for k in own if k not in fitting and (head is None or not k.startswith(f"{head}."))]
    if absent:
        raise BadWeights(f"--init {init} does not fit {arch}: {absent[0]!r} is missing or of another shape")
    network.load_state_dict({**own, **fitting}, strict=True)
    return source


def card_path(init: str) -> Path:
    """The card of a training's folder, or else of the zoo's checkpoint of that name; it may not exist."""
    folder = Path(init)
    if folder.is_dir() or not is_plain_name(init):
        return folder / "card.toml"
    return MODEL_CARDS / f"{init}.toml"


def start_card(init: str | None) -> ModelCard | None:
    """The card of the weights that `init` names; None for random and ImageNet's weights, and where there is none."""
    if init is None or init == IMAGENET or not card_path(init).exists():
        return None
    return read_card(card_path(init))


def _weights(init: str) -> Path:
    path, card = Path(init) / "weights.safetensors", card_path(init)
    if path.is_file():
        return path
    if Path(init).is_dir() or not card.exists():
        raise UsageError(
            f"--init {init} holds no weights.safetensors; give a training's output folder, a checkpoint of the zoo, or"
            " imagenet"
        )
    return verified_weights(read_card(card))[0]


def _imagenet(arch: str) -> dict[str, Tensor]:
    try:
        model = torchvision.models.get_model(arch, weights="DEFAULT")
    except Exception as error:  # no network, no such weights, a full disk: one answer for the user
        raise UsageError(
            f"--init imagenet: torchvision's weights of {arch} cannot be fetched ({type(error).__name__}: {error});"
            " connect to a network or train from scratch"
        ) from error
    return {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in model.state_dict().items()}
