"""Other ways to normalize an image: a model that is better under one of them is wired wrongly."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from harness.types import ModelCard

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def variants(images: Tensor, card: ModelCard | None) -> Iterator[tuple[str, Tensor]]:
    """Names of mistakes, each with the images that would undo it; `images` are float32 [m,C,H,W] in [0,1].

    A model whose normalization is missing wants normalized images; one that normalizes twice wants images from which
    one normalization was taken back. The constants are the card's or, without a card, the usual candidates.
    """
    channels = images.shape[1]
    for name, mean, std in _constants(images, card):
        if len(mean) != channels:
            continue
        center, scale = (torch.tensor(values).view(1, -1, 1, 1) for values in (mean, std))
        yield f"the model lacks its normalization ({name})", (images - center) / scale
        yield f"the model normalizes twice ({name})", images * scale + center
    yield "the model wants pixels from 0 to 255", images * 255
    if channels == 3:
        yield "the model wants its channels in reverse order (BGR)", images.flip(1)


def _constants(images: Tensor, card: ModelCard | None) -> Iterator[tuple[str, tuple[float, ...], tuple[float, ...]]]:
    if card is not None and card.mean:
        yield "mean and std of its card", tuple(card.mean), tuple(card.std)
        return
    pixels = images.transpose(0, 1).flatten(1)
    yield "mean and std of the data", tuple(pixels.mean(1).tolist()), tuple(pixels.std(1).clamp_min(1e-3).tolist())
    yield "mean and std of ImageNet", *IMAGENET
    yield "mean 0.5, std 0.5", (0.5,) * images.shape[1], (0.5,) * images.shape[1]
