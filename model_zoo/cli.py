"""``harness train``: parses the command line and calls `model_zoo.recipe.train`; imports torch only when called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.output import waiting
from harness.errors import UsageError
from harness.inputs.find import check_names
from harness.inputs.registry import Registry
from model_zoo.recipe.named import read_recipe, recipe_names


def train(
    context: typer.Context,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for card, weights and history.")],
    defense: Annotated[str | None, typer.Option(help="How to train; see `harness list defenses`.")] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="A named recipe or a TOML file of these options, which others given here change."),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(help="Data set, or several with commas; repeatable: gtsrb,signs:34000 (default: signs)."),
    ] = None,
    arch: Annotated[
        str, typer.Option(help="Classifier of torchvision, by its name; it must take images of the data's size.")
    ] = "resnet18",
    epochs: Annotated[int, typer.Option(help="Passes over the training data.")] = 10,
    batch_size: Annotated[int, typer.Option(help="Images in one step.")] = 128,
    lr: Annotated[float, typer.Option(help="Learning rate; the peak of a cycle.")] = 1e-3,
    weight_decay: Annotated[float, typer.Option(help="AdamW's weight decay.")] = 0.05,
    schedule: Annotated[str, typer.Option(help="Learning rate: cycle (up, then down to 0) or constant.")] = "cycle",
    ema: Annotated[
        float, typer.Option(help="Keep a moving average of the weights with this decay, such as 0.999; 0: do not.")
    ] = 0.0,
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
    cutout: Annotated[
        float, typer.Option(help="Gray out a square of this share of each image's side; 0: do not.")
    ] = 0.0,
    data_root: Annotated[
        Path | None, typer.Option(envvar="HARNESS_DATA", help="Folder with local copies of data sets.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    precision: Annotated[
        str, typer.Option(help="float32, bfloat16, or auto: bfloat16 where the device computes it natively.")
    ] = "auto",
) -> None:
    """Train a model and write its card, weights and history; started again, it goes on where it was."""
    given = {
        "defense": defense, "data": data, "arch": arch, "epochs": epochs, "batch_size": batch_size, "lr": lr,
        "weight_decay": weight_decay, "schedule": schedule, "ema": ema, "init": init, "augment": augment,
        "cutout": cutout, "seed": seed,
    }  # fmt: skip
    options = parse_options(set_ or [])
    if recipe is not None:
        named = read_recipe(recipe)
        if defense not in (None, named["defense"]):
            raise UsageError(
                f"recipe {recipe} is of {named['defense']}, and --defense {defense} another; leave one out"
            )
        options = named.pop("set", {}) | options
        given |= {key: value for key, value in named.items() if not _on_command_line(context, key)}
    if given["defense"] is None:
        raise UsageError(
            "give --defense (see `harness list defenses`) or --recipe, one of " + ", ".join(recipe_names())
        )
    Registry("defenses").get(str(given["defense"]))  # before torch is imported: a typo is told at once
    texts = given.pop("data") or ["signs"]
    names = [name.strip() for text in texts for name in text.split(",")]  # type: ignore[union-attr]
    if not all(names):
        raise UsageError(f"--data {','.join(texts)!r} has an empty name; write for instance gtsrb,signs:34000")  # type: ignore[arg-type]
    check_names(data=names)
    with waiting("starting"):
        from rich.console import Console

        from model_zoo.recipe.train import recipe_of
        from model_zoo.recipe.train import train as run

    made = recipe_of({**given, "set": options, "data": names, "precision": precision})
    card = run(made, output, data_root=data_root, device=device, console=Console(stderr=True))
    typer.echo(card.path)


def _on_command_line(context: typer.Context, key: str) -> bool:
    source = context.get_parameter_source(key)
    return source is not None and source.name == "COMMANDLINE"


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
