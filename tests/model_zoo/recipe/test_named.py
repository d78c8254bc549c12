"""Recipes by name: what ships parses and is the study's, what is given beside it wins, and odd files are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from harness.errors import UnknownName, UsageError
from harness.types import ModelCard
from model_zoo import cli
from model_zoo.defenses.base import load_defense
from model_zoo.recipe.named import read_recipe, recipe_names
from model_zoo.recipe.train import Recipe, recipe_of
from model_zoo.training.loop import Settings


def made(monkeypatch: pytest.MonkeyPatch, line: str) -> Recipe:
    seen: list[Recipe] = []

    def fake(recipe: Recipe, output: Path, **_: object) -> ModelCard:
        seen.append(recipe)
        return ModelCard("x", "x", "x", 2, (3, 8, 8), path=output / "card.toml")

    monkeypatch.setattr("model_zoo.recipe.train.train", fake)
    app = typer.Typer()
    app.command()(cli.train)
    CliRunner().invoke(app, [*line.split(), "-o", "out"], catch_exceptions=False)
    return seen[0]


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_is_a_training(name: str) -> None:
    recipe = recipe_of(read_recipe(name))
    load_defense(recipe.defense, recipe.options)


def test_the_study_s_recipes_are_its_words() -> None:
    recipes = {name: recipe_of(read_recipe(name)) for name in recipe_names() if name.startswith("study-")}
    assert set(recipes) == {"study-standard", "study-fgsm", "study-fast-fgsm", "study-trades", "study-a2s"}
    for name, recipe in recipes.items():
        epochs = 15 if name == "study-trades" else 10
        settings = Settings(epochs=epochs, batch_size=128, lr=5e-4, weight_decay=0.0, schedule="constant")
        assert (recipe.settings, recipe.data, recipe.init, recipe.arch) == (settings, ["study"], None, "resnet18")
    epsilons = {name: load_defense(r.defense, r.options).trained_for.get("epsilon") for name, r in recipes.items()}
    assert epsilons == {
        "study-standard": None, "study-fgsm": "8/255", "study-fast-fgsm": "8/255", "study-trades": "3/255",
        "study-a2s": None,
    }  # fmt: skip


def test_what_is_given_beside_a_recipe_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = made(monkeypatch, "--recipe study-fast-fgsm --seed 3 --epochs 10 --lr 0.001 --set alpha=2 --data gtsrb")
    assert recipe.options == {"epsilon": "8/255", "alpha": "2"}
    assert recipe.settings == Settings(
        epochs=10, batch_size=128, lr=1e-3, weight_decay=0.0, seed=3, schedule="constant"
    )
    assert recipe.data == ["gtsrb"]


def test_a_recipe_of_one_s_own_is_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('defense = "pgd"\ndata = ["signs"]\nema = 0.99\ncutout = 0.25\nset = {steps = 3}\n')
    recipe = made(monkeypatch, f"--recipe {file}")
    assert recipe == Recipe(
        defense="pgd", options={"steps": 3}, data=["signs"], settings=Settings(ema=0.99), cutout=0.25
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('defense = "pgd"\nlrr = 1', "lrr is unknown; known keys: description, defense"),
        ('defense = "pgd"\nlr = "fast"', "lr is 'fast', which --lr does not take"),
        ('defense = "pgd"\nepochs = true', "epochs is True"),
        ("lr = 1", "defense is missing"),
        ("lr = ", "not valid TOML"),
    ],
)
def test_odd_files_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_recipe(str(tmp_path / "mine.toml"))


def test_unknown_recipes_and_contradictions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'study-fgsm'"):
        read_recipe("study-fgms")
    with pytest.raises(UsageError, match=r"none\.toml cannot be read"):
        read_recipe(str(tmp_path / "none.toml"))
    app = typer.Typer()
    app.command()(cli.train)
    result = CliRunner().invoke(app, ["--recipe", "study-fgsm", "--defense", "pgd", "-o", "x"])
    assert isinstance(result.exception, UsageError)
    assert "is of fgsm, and --defense pgd another" in str(result.exception)
    result = CliRunner().invoke(app, ["-o", "x"])
    assert isinstance(result.exception, UsageError)
    assert "give --defense" in str(result.exception)
