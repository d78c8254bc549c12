"""The trainings of the study's models by the recipes ``study-*``, and whether they overfitted catastrophically."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.base.text import percent
from harness.errors import BadCard, TrainingFailed
from leaderboard.render.markdown import escape, grid

RECIPE = "study"


@dataclass(frozen=True)
class Training:
    """What a finished training's folder says of its epochs; accuracies in [0,1], on validation images."""

    name: str
    epsilon: str | None
    """Of the validation attacks."""
    epochs: tuple[Mapping[str, float], ...]
    """``epoch``, ``clean``, ``fgsm`` and ``pgd`` of each."""
    overfitted: int | None
    """The epoch of catastrophic overfitting, as the card has it."""
    seed: int | None

    def as_data(self) -> dict[str, Any]:
        """As JSON-able data."""
        return asdict(self)


def folder_of(name: str, top: Path, seed: int = 0) -> Path:
    """Where the model of the regime `name` is trained, and what it is called: ``study-fast-fgsm``, ``...-seed3``."""
    return top / (f"{RECIPE}-{name.replace('_', '-')}" + (f"-seed{seed}" if seed else ""))


def train(name: str, folder: Path, seed: int, data_root: Path | None, device: str) -> None:
    """Train the model of the regime `name` unless it is there; goes on where it was.

    In a process of its own: the trainings are another package's, and their memory goes with it.

    Raises:
        TrainingFailed: it did not end well; it has said why.
        KeyboardInterrupt: it was interrupted.
    """
    if (folder / "card.toml").exists():
        return
    recipe = folder_of(name, Path()).name
    command = [sys.executable, "-m", "harness", "train", "--recipe", recipe, "-o", str(folder), "--seed", str(seed)]
    command += ["--device", device, *(["--data-root", str(data_root)] if data_root is not None else [])]
    ended = subprocess.run(command, stdout=sys.stderr, check=False)
    if ended.returncode in (-2, 130):
        raise KeyboardInterrupt
    if ended.returncode or not (folder / "card.toml").exists():
        raise TrainingFailed(f"the training of {recipe} ended with exit code {ended.returncode}; start again to go on")


def read(name: str, folder: Path) -> Training:
    """The training of the regime `name` in `folder`.

    Raises:
        BadCard: its card or history is missing or damaged.
    """
    try:
        card = tomllib.loads((folder / "card.toml").read_text(encoding="utf-8"))
        history = json.loads((folder / "history.json").read_text(encoding="utf-8"))
        rows = tuple({key: row[key] for key in ("epoch", "clean", "fgsm", "pgd")} for row in history)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadCard(f"training {folder} has no whole card.toml and history.json: {error}") from None
    recipe = card.get("recipe", {})
    quick = recipe.get("quick_validation", {})
    seed = card.get("provenance", {}).get("seed")
    return Training(name, quick.get("epsilon"), rows, recipe.get("catastrophic_overfitting_epoch"), seed)


def as_markdown(trainings: Sequence[Training]) -> str:
    """The trainings epoch by epoch, and in which of them robustness to PGD collapsed."""
    parts = [
        "## Catastrophic overfitting while training",
        "In %, on validation images, FGSM and PGD with 5 steps at the epsilon of the table; an epoch shows it when PGD"
        " accuracy falls below half of its best so far while FGSM accuracy does not fall.",
    ]
    rows = []
    for training in trainings:
        best = max(training.epochs, key=lambda row: row["pgd"])
        last = training.epochs[-1]
        rows.append(
            [
                escape(training.name),
                str(training.seed),
                str(training.epsilon),
                *(percent(last[key]) for key in ("clean", "fgsm", "pgd")),
                f"{percent(best['pgd'])} (epoch {best['epoch']:.0f} of {len(training.epochs)})",
                "none" if training.overfitted is None else f"epoch {training.overfitted}",
            ]
        )
    header = ("model", "seed", "epsilon", "clean, last", "FGSM, last", "PGD, last", "PGD, best", "collapse")
    return "\n\n".join([*parts, grid(header, rows, left=1)]) + "\n"
