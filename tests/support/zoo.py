"""A tiny checkpoint on disk, for the tests of loading, fetching and sources."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from harness.types import ModelCard
from model_zoo.loading import architectures
from model_zoo.loading.card_file import write_card
from model_zoo.loading.weights_file import sha256_of, write_weights

ARCHITECTURE = "mobilenet_v3_small"
"""Small and quick to build, and not the one the other tests use."""


def make_checkpoint(folder: Path, name: str = "tiny", classes: int = 5, seed: int = 0) -> ModelCard:
    """Random weights of a small network in `folder`, with a card that describes them."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    network = architectures.build(ARCHITECTURE, classes)
    weights = folder / "weights.safetensors"
    write_weights(network, weights)
    card = ModelCard(
        name=name,
        defense="standard",
        architecture=ARCHITECTURE,
        num_classes=classes,
        input_shape=(3, 32, 32),
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.2, 0.2),
        weights={"file": weights.name, "sha256": sha256_of(weights), "bytes": weights.stat().st_size},
        path=folder / "card.toml",
    )
    write_card(card, folder / "card.toml")
    return card


def with_weights(card: ModelCard, **changes: object) -> ModelCard:
    """`card` with other entries under weights; None takes one away."""
    weights = {key: value for key, value in {**card.weights, **changes}.items() if value is not None}
    return replace(card, weights=weights)
