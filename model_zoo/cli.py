"""``harness train``: parses the command line and calls `model_zoo.recipe.train`; imports torch only when called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.output import waiting
from harness.errors import UsageError
from harness.inputs.find import check_names
from harness.inputs.registry import Registry


def train(
    defense: Annotated[str, typer.Option(help="Training recipe; see `harness list defenses`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for card, weights and history.")],
    data: Annotated[
        list[str] | None, typer.Option(help="Data set, or several with commas; repeatable: gtsrb,signs:34000.")
    ] = None,
    arch: Annotated[
        str, typer.Option(help="Classifier of torchvision, by its name; it must take images of the data's size.")
    ] = "resnet18",
    epochs: Annotated[int, typer.Option(help="Passes over the training data.")] = 10,
    batch_size: Annotated[int, typer.Option(help="Images in one step.")] = 128,
    lr: Annotated[float, typer.Option(help="Peak learning rate of the one-cycle schedule.")] = 1e-3,
    weight_decay: Annotated[float, typer.Option(help="AdamW's weight decay.")] = 0.05,
    init: Annotated[
        str | None,
        typer.Option(help="`imagenet`, another training's output folder, or a checkpoint of the zoo by its name."),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Option of the defense, key=value; repeatable: epsilon=8/255.")
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Seed of weights, order, augmentation and rendered data; a split stays as it is.")
    ] = 0,
    augment: Annotated[float, typer.Option(help="Strength of the random augmentation; 0 for none.")] = 1.0,
    data_root: Annotated[
        Path | None, typer.Option(envvar="HARNESS_DATA", help="Folder with local copies of data sets.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    precision: Annotated[
        str, typer.Option(help="float32, bfloat16, or auto: bfloat16 where the device computes it natively.")
    ] = "auto",
) -> None:
    """Train a model and write its card, weights and history; started again, it goes on where it was."""
    Registry("defenses").get(defense)  # before torch is imported: a typo is told at once
    names = [name.strip() for text in data or ["signs"] for name in text.split(",")]
    if not all(names):
        raise UsageError(f"--data {','.join(data or [])!r} has an empty name; write for instance gtsrb,signs:34000")
    check_names(data=names)
    options = parse_options(set_ or [])
    with waiting("starting"):
        from rich.console import Console

        from model_zoo.recipe.train import Recipe
        from model_zoo.recipe.train import train as run
        from model_zoo.training.loop import Settings

    settings = Settings(
        epochs=epochs, batch_size=batch_size, lr=lr, weight_decay=weight_decay, seed=seed, precision=precision
    )
    recipe = Recipe(
        defense=defense, options=options, data=names, arch=arch, init=init, settings=settings, augment=augment
    )
    card = run(recipe, output, data_root=data_root, device=device, console=Console(stderr=True))
    typer.echo(card.path)


def parse_options(pairs: list[str]) -> dict[str, str]:
    """``key=value`` texts as a mapping.

    Raises:
        UsageError: one has no ``=`` or no key, or a key is given twice.
    """
    options: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {pair!r} is not key=value; write for instance --set epsilon=8/255")
        if key in options:
            raise UsageError(f"--set {key} is given twice ({options[key]!r} and {value!r}); keep one")
        options[key] = value
    return options


if __name__ == "__main__":
    typer.run(train)
