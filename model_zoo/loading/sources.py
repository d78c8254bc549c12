"""Models that are not plugins: training folders, cards, Python files, files of weights, other packages' models.

A source takes what stands after ``--model`` and returns a model, or None if the text is not its kind.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.errors import BadCard
from harness.types import LoadedModel
from model_zoo.loading.card_file import read_card
from model_zoo.loading.from_card import load_card
from model_zoo.loading.python_file import python_file

Source = Callable[[str], LoadedModel | None]


def resolve(text: str) -> LoadedModel | None:
    """The model that `text` names, or None if no source knows this kind of text.

    Raises:
        HarnessError: a source knows it and cannot load it; the message says why.
    """
    from model_zoo.loading.pretrained import timm_model, torchvision_model, transformers_model
    from model_zoo.loading.robustbench import robustbench_model
    from model_zoo.loading.state_dict import state_dict_model

    packages = (torchvision_model, timm_model, transformers_model, robustbench_model)
    for source in (*packages, state_dict_model, python_file, card_file, training_folder):
        model = source(text)
        if model is not None:
            return model
    return None


def card_file(text: str) -> LoadedModel | None:
    """``path/to/card.toml``."""
    return load_card(read_card(Path(text))) if text.endswith(".toml") else None


def training_folder(text: str) -> LoadedModel | None:
    """The output folder of a training.

    Raises:
        BadCard: the folder holds no card, for instance because its training has not finished.
    """
    folder = Path(text)
    if not folder.is_dir():
        return None
    if not (folder / "card.toml").is_file():
        unfinished = (folder / "resume.pt").exists()
        reason = "its training has not finished; start it again to go on" if unfinished else "give a training's output"
        raise BadCard(f"folder {folder} holds no card.toml: {reason}")
    return load_card(read_card(folder / "card.toml"))
