"""``harness reproduce --recipe study``: what it trains, what it reads of the trainings, and its report."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from repository import ROOT

from harness.cli import main
from harness.errors import BadCard, TrainingFailed
from leaderboard.study import report, trainings

CARD = 'name = "x"\n[recipe]\n{collapse}[recipe.quick_validation]\nepsilon = "8/255"\n[provenance]\nseed = 3\n'


def finished(folder: Path, pgd: list[float], collapse: int | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    line = f"catastrophic_overfitting_epoch = {collapse}\n" if collapse else ""
    (folder / "card.toml").write_text(CARD.format(collapse=line))
    rows = [{"epoch": k + 1.0, "clean": 0.9, "fgsm": 0.5, "pgd": value, "loss": 1.0} for k, value in enumerate(pgd)]
    (folder / "history.json").write_text(json.dumps(rows))
    return folder


def test_a_training_is_asked_for_once_by_its_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        asked.append(command)
        finished(Path(command[command.index("-o") + 1]), [0.1])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    folder = trainings.folder_of("fast_fgsm", tmp_path, 3)
    assert folder == tmp_path / "study-fast-fgsm-seed3"
    for _ in range(2):
        trainings.train("fast_fgsm", folder, 3, Path("data"), "cpu")
    expected = f"train --recipe study-fast-fgsm -o {folder} --seed 3 --device cpu --data-root data"
    assert asked == [[sys.executable, "-m", "harness", *expected.split()]]


@pytest.mark.parametrize(("code", "error"), [(1, TrainingFailed), (130, KeyboardInterrupt), (0, TrainingFailed)])
def test_a_training_that_does_not_end_well_stops_it(
    code: int, error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, code))
    with pytest.raises(error):
        trainings.train("fgsm", tmp_path / "study-fgsm", 0, None, "cpu")


def test_the_table_says_in_which_epoch_robustness_collapsed(tmp_path: Path) -> None:
    collapsed = trainings.read("fgsm", finished(tmp_path / "a", [0.2, 0.4, 0.1], collapse=3))
    sound = trainings.read("trades", finished(tmp_path / "b", [0.2, 0.5]))
    assert (collapsed.overfitted, collapsed.seed, len(collapsed.epochs)) == (3, 3, 3)
    text = trainings.as_markdown([collapsed, sound])
    assert "| fgsm | 3 | 8/255 | 90.0 | 50.0 | 10.0 | 40.0 (epoch 2 of 3) | epoch 3 |" in text
    assert "| trades | 3 | 8/255 | 90.0 | 50.0 | 50.0 | 50.0 (epoch 2 of 2) | none |" in text
    assert json.loads(json.dumps(collapsed.as_data()))["overfitted"] == 3


def test_a_damaged_training_is_one_line(tmp_path: Path) -> None:
    folder = finished(tmp_path / "a", [0.2])
    (folder / "history.json").write_text("[{}]")
    with pytest.raises(BadCard, match=r"training .*a has no whole card\.toml and history\.json"):
        trainings.read("fgsm", folder)


@pytest.mark.slow
def test_the_models_stand_in_the_study_s_table_under_its_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    zoo = ROOT / "model_zoo"
    for name in ("standard", "fast_fgsm"):
        folder = finished(trainings.folder_of(name, tmp_path / "models"), [0.2])
        (folder / "card.toml").write_text((zoo / "cards" / "models" / "trades.toml").read_text().replace(
            'name = "trades"', f'name = "{folder.name}"'))  # fmt: skip
        shutil.copy(zoo / "weights" / "trades.safetensors", folder)
    monkeypatch.setattr(report, "MODELS", ("standard", "fast_fgsm"))
    line = ["reproduce", "--recipe", "study", "--data", "signs", "--n", "4", "--models", str(tmp_path / "models")]
    code = main([*line, "--results", str(tmp_path / "results"), "--json"])
    found = json.loads(capsys.readouterr().out)["data"]
    assert code == 0
    assert set(found["runs"]["paper"]) == {"standard", "fast_fgsm"}
    assert {cell["model"] for cell in found["cells"]} == {"standard", "fast_fgsm"}
    assert [training["name"] for training in found["trainings"]] == ["standard", "fast_fgsm"]
    where = [f"{folder.name}={folder}" for folder in (tmp_path / "models").iterdir()]
    line = ["verify", str(tmp_path / "results"), *(word for model in where for word in ("--model", model))]
    assert main(line) == 0, "its runs can be proved"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recipe", "studdy"], "unknown recipe of a study 'studdy'; did you mean 'study'"),
        (["--seed", "2"], "give --recipe study with them"),
        (["--models", "x"], "give --recipe study with them"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", *options]) == 2
    assert message in capsys.readouterr().err
