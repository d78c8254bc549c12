"""The command `harness train` and what it is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from harness.errors import UsageError
from harness.types import ModelCard
from model_zoo import cli
from model_zoo.recipe.train import Recipe, _named
from model_zoo.training import initial
from model_zoo.training.loop import Settings


def test_imagenet_s_weights_without_a_network_are_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torchvision.models.get_model", refuse)
    with pytest.raises(UsageError, match=r"--init imagenet.*no network.*train from scratch"):
        initial.initialize(torch.nn.Linear(1, 1), "resnet18", "imagenet")


def test_the_command_passes_everything_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: dict[str, object] = {}

    def fake(made: Recipe, output: Path, **others: object) -> ModelCard:
        seen.update(recipe=made, output=output, **others)
        return ModelCard("x", "x", "x", 2, (3, 8, 8), path=output / "card.toml")

    monkeypatch.setattr("model_zoo.recipe.train.train", fake)
    app = typer.Typer()
    app.command()(cli.train)
    line = "--defense trades --data gtsrb,signs:34000 --data folder:x --arch resnet34 --epochs 3 --batch-size 64"
    line += " --lr 0.01 --weight-decay 0 --init imagenet --set beta=4 --set epsilon=3/255 --seed 7 --augment 0"
    line += f" --device cpu --data-root {tmp_path} -o out"
    result = CliRunner().invoke(app, line.split(), catch_exceptions=False)
    assert (result.exit_code, result.stdout.strip()) == (0, str(Path("out/card.toml")))
    assert seen["recipe"] == Recipe(
        defense="trades",
        options={"beta": "4", "epsilon": "3/255"},
        data=["gtsrb", "signs:34000", "folder:x"],
        arch="resnet34",
        init="imagenet",
        settings=Settings(epochs=3, batch_size=64, lr=0.01, weight_decay=0.0, seed=7),
        augment=0.0,
    )
    assert (seen["output"], seen["data_root"], seen["device"]) == (Path("out"), tmp_path, "cpu")


@pytest.mark.parametrize(
    ("pairs", "message"), [(["beta"], "not key=value"), (["=4"], "not key=value"), (["a=1", "a=2"], "given twice")]
)
def test_options_that_are_no_pairs_are_refused(pairs: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        cli.parse_options(pairs)


def test_the_command_line_imports_no_torch() -> None:
    code = "import sys, model_zoo.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_stranger_s_defense_that_fails_is_named_with_its_package(monkeypatch):
    from harness.errors import PluginError

    monkeypatch.setattr("model_zoo.recipe.train.stranger", lambda kind, name: "weird" if name == "odd" else None)
    with (
        pytest.raises(PluginError, match="defense 'odd' of package weird failed with KeyError: 'x'"),
        _named("odd"),
    ):
        raise KeyError("x")
    with pytest.raises(KeyError), _named("pgd"):
        raise KeyError("x")
    with pytest.raises(UsageError), _named("odd"):
        raise UsageError("told already")
