"""Measure a finished checkpoint on test sets and write the figures into its card as claims.

``python -m model_zoo.recipe.claims FOLDER_OR_CARD --data gtsrb,signs [--data-root DIR]``
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from harness.errors import HarnessError, UsageError
from harness.types import Claim, ModelCard


def add_claims(path: Path, data: Sequence[str], data_root: Path | None = None) -> ModelCard:
    """The card at `path` (or in the folder `path`), rewritten with its clean accuracy on the test split of each set.

    Raises:
        BadCard, BadWeights, BadData: as the parts say.
        UsageError: a set holds images that the model was trained on.
    """
    from harness.trust.doctor.training_images import training_images
    from model_zoo.loading.card_file import read_card, write_card
    from model_zoo.loading.from_card import load_card
    from model_zoo.recipe.train import load_dataset
    from model_zoo.training.clean_accuracy import clean_accuracy

    card = read_card(path / "card.toml" if path.is_dir() else path)
    model = load_card(card).module
    measured = {}
    for text in data:
        dataset = load_dataset(text, "test", data_root)
        for finding in training_images(card, dataset):
            if finding.level == "refuse":
                raise UsageError(f"{card.name} makes no claim on {dataset.name}: {finding.message}")
        measured[dataset.name] = Claim(*clean_accuracy(model, dataset))
    card = replace(card, claims={**card.claims, **measured})
    if card.path is not None:
        write_card(card, card.path)
    return card


def main(
    path: Path,
    data: Annotated[str, typer.Option(help="Data sets, with commas between them.")] = "signs",
    data_root: Annotated[Path | None, typer.Option(envvar="HARNESS_DATA")] = None,
) -> None:
    """Measure clean accuracy on test sets and write it into the card."""
    try:
        card = add_claims(path, data.split(","), data_root)
    except HarnessError as error:
        typer.echo(f"harness: {error}", err=True)
        raise typer.Exit(2) from None
    for name, claim in card.claims.items():
        typer.echo(f"{card.name}  {name}  {100 * claim.accuracy:.2f} %  n={claim.n}")


if __name__ == "__main__":
    typer.run(main)
