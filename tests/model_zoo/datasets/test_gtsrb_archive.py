"""``--data gtsrb`` from the unpacked archives: official, torchvision's and Kaggle's; and nothing is left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from harness.errors import BadData
from harness.types import DataRequest
from model_zoo.datasets import torchvision_sets
from model_zoo.datasets.gtsrb import gtsrb

TEST_LABELS = {"00000": 16, "00001": 1, "00002": 38}


def image(path: Path, color: tuple[int, int, int], size: tuple[int, int] = (40, 50)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)


def official(top: Path, training: str = "Final_Training/Images") -> None:
    for label in (0, 10, 14):
        for track in (22, 23, 24):
            for frame in (0, 1):
                image(top / training / f"{label:05d}" / f"{track:05d}_{frame:05d}.ppm", (label, track, frame))
        (top / training / f"{label:05d}" / f"GT-{label:05d}.csv").write_text("Filename;ClassId\n")
    for k, name in enumerate(TEST_LABELS):
        image(top / "Final_Test" / "Images" / f"{name}.ppm", (k, 200, 0), (30 + k, 60))


def write_labels(path: Path) -> None:
    lines = [f"{name}.ppm;53;54;6;5;48;49;{label}" for name, label in TEST_LABELS.items()]
    path.write_text("Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n" + "\n".join(lines) + "\n")


def kaggle(top: Path) -> None:
    for label in (0, 10, 14):
        for track in (22, 23, 24):
            image(top / "Train" / str(label) / f"{label:05d}_{track:05d}_00007.png", (label, track, 0))
    for k, name in enumerate(TEST_LABELS):
        image(top / "Test" / f"{name}.png", (k, 200, 0))
    lines = [f"53,54,6,5,48,49,{label},Test/{name}.png" for name, label in TEST_LABELS.items()]
    (top / "Test.csv").write_text("Width,Height,Roi.X1,Roi.Y1,Roi.X2,Roi.Y2,ClassId,Path\n" + "\n".join(lines))


def rows(root: Path, split: str) -> set[tuple[int, ...]]:
    """Label and the color of each image."""
    data = gtsrb(DataRequest(split, root))  # type: ignore[arg-type]
    assert data.images.shape[1:] == (32, 32, 3)
    return {(label, *data.images[k, 16, 16].tolist()) for k, label in enumerate(data.labels.tolist())}


@pytest.mark.parametrize("top", ["", "GTSRB"])
@pytest.mark.parametrize("table", ["GT-final_test.csv", "Final_Test/Images/GT-final_test.csv"])
def test_the_official_archive(top: str, table: str, tmp_path: Path) -> None:
    official(tmp_path / top)
    write_labels(tmp_path / top / table)
    assert rows(tmp_path, "test") == {(16, 0, 200, 0), (1, 1, 200, 0), (38, 2, 200, 0)}
    train, val = rows(tmp_path, "train"), rows(tmp_path, "val")
    every = {(c, c, t, f) for c in (0, 10, 14) for t in (22, 23, 24) for f in (0, 1)}
    assert train | val == {row for row in every if row[:3] != (14, 14, 23)}  # the track that the test set repeats
    assert not {row[:3] for row in train} & {row[:3] for row in val}
    assert {row[0] for row in val} == {0, 10, 14}


def test_what_torchvision_unpacked(tmp_path: Path) -> None:
    official(tmp_path / "gtsrb" / "GTSRB", "Training")
    write_labels(tmp_path / "gtsrb" / "GT-final_test.csv")
    assert {row[0] for row in rows(tmp_path, "test")} == {16, 1, 38}
    assert len(rows(tmp_path, "train") | rows(tmp_path, "val")) == 16


def test_kaggle_s_copy(tmp_path: Path) -> None:
    kaggle(tmp_path)
    assert rows(tmp_path, "test") == {(16, 0, 200, 0), (1, 1, 200, 0), (38, 2, 200, 0)}
    train, val = rows(tmp_path, "train"), rows(tmp_path, "val")
    assert len(train) + len(val) == 8
    assert not train & val


def test_test_images_without_labels_are_named(tmp_path: Path) -> None:
    official(tmp_path)
    with pytest.raises(BadData, match=r"Final_Test/Images has images but no labels; put GT-final_test\.csv"):
        rows(tmp_path, "test")
    write_labels(tmp_path / "GT-final_test.csv")
    (tmp_path / "Final_Test/Images/00001.ppm").unlink()
    with pytest.raises(BadData, match=r"GT-final_test\.csv, line 3: there is no image .*00001\.ppm"):
        rows(tmp_path, "test")


def test_a_folder_of_another_set_is_named(tmp_path: Path) -> None:
    official(tmp_path)
    image(tmp_path / "Final_Training/Images/00043/00000_00000.ppm", (0, 0, 0))
    with pytest.raises(BadData, match="00043 is no class of GTSRB; they are 0 to 42"):
        rows(tmp_path, "train")


@pytest.mark.parametrize(
    ("name", "plugin", "made"),
    [
        ("GTSRB", gtsrb, "gtsrb/GTSRB"),
        ("MNIST", torchvision_sets.mnist, "MNIST/raw"),
        ("CIFAR10", torchvision_sets.cifar10, "."),
    ],
)
def test_a_failed_download_leaves_no_empty_folder(
    name: str, plugin: Any, made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import datasets

    def refuse(root: str, **_: object) -> None:
        (Path(root) / made).mkdir(parents=True, exist_ok=True)
        raise OSError("no network")

    monkeypatch.setattr(datasets, name, refuse)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    with pytest.raises(BadData, match="no network"):
        plugin(DataRequest("test"))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    with pytest.raises(BadData, match="no network"):
        plugin(DataRequest("test", tmp_path / "mine"))
    assert list((tmp_path / "mine").iterdir()) == []  # an empty folder of the user's stays
