"""What a training leaves behind: weights, history and a card that says how they came about."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from harness.base.machine import device_name
from harness.inputs.seen import hashes_of_set, read_seen, write_seen
from harness.types import Dataset, ModelCard
from model_zoo.loading import architectures
from model_zoo.loading.card_file import write_card
from model_zoo.loading.weights_file import load_strictly, read_weights, sha256_of, write_weights
from model_zoo.training.loop import Settings

CARD, WEIGHTS, HISTORY, RESUME = "card.toml", "weights.safetensors", "history.json", "resume.pt"
SEEN = "seen.npy"
"""Short hashes of the images that were trained on; see `harness.inputs.seen`."""


def save_weights(model: nn.Module, output: Path) -> dict[str, Any]:
    """Write the weights, and give the model exactly what was written, so that its figures hold for the file.

    Returns:
        The card's table ``weights``.
    """
    path = output / WEIGHTS
    network = architectures.unwrap(model)
    write_weights(network, path)
    load_strictly(network, read_weights(path), f"weights {path}")
    return {"file": WEIGHTS, "sha256": sha256_of(path), "bytes": path.stat().st_size, "dtype": "float16"}


def save_seen(data: Dataset, start: ModelCard | None, output: Path) -> dict[str, Any]:
    """Write the hashes of the training images, with those of the weights that `start` is the card of.

    Returns:
        The card's table ``data.seen``.
    """
    before = read_seen(start) if start is not None else None
    return write_seen([hashes_of_set(data), *([before] if before is not None else [])], output / SEEN)


def finish(card: ModelCard, history: Sequence[Mapping[str, float]], output: Path) -> None:
    """Write history and card; the card comes last but for the checkpoint's removal: it says that all is there."""
    (output / HISTORY).write_text(json.dumps(list(history), indent=1) + "\n", encoding="utf-8")
    write_card(card, output / CARD)
    (output / RESUME).unlink(missing_ok=True)


def provenance(settings: Settings, device: torch.device, minutes: float) -> dict[str, Any]:
    """The card's table of the same name: where, when and with what the training ran."""
    versions = {}
    for package in ("torch", "torchvision", "numpy", "robustness-harness"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "seed": settings.seed,
        "hardware": device_name(device),
        "threads": torch.get_num_threads(),
        "precision": settings.on(device).precision,
        "training_minutes": round(minutes, 1),
        "finished": time.strftime("%Y-%m-%d", time.gmtime()),
        "python": platform.python_version(),
        "license": "MIT",
        "versions": versions,
    }
