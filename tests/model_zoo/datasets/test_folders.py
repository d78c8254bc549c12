"""Image folders as they are found: names of splits and classes, hidden files, and layouts that are something else."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from harness.errors import BadData, UsageError
from harness.types import DataRequest
from model_zoo.datasets.class_names import in_order, with_absent
from model_zoo.datasets.folder import folder


def image(path: Path, value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (value, 0, 0)).save(path)


def read(argument: object, split: str = "test") -> tuple[list[str], dict[int, int]]:
    """Class names, and first red value to label of every image."""
    data = folder(DataRequest(split, argument=str(argument)))  # type: ignore[arg-type]
    images, labels = data.take(range(len(data)))
    reds = (images[:, 0, 0, 0] * 255).round().int().tolist()
    return list(data.classes), dict(zip(reds, labels.tolist(), strict=True))


@pytest.mark.parametrize("style", ["{}", "{:05d}"])
def test_numbers_are_numbered_by_value(style: str, tmp_path: Path) -> None:
    for k in range(12):
        image(tmp_path / style.format(k) / "a.png", k)
    classes, labels = read(tmp_path)
    assert classes == [style.format(k) for k in range(12)]
    assert labels == {k: k for k in range(12)}


def test_the_order_of_text_can_be_asked_for(tmp_path: Path) -> None:
    for k in range(12):
        image(tmp_path / str(k) / "a.png", k)
    classes, labels = read(f"{tmp_path}?order=text")
    assert classes == ["0", "1", "10", "11", *"23456789"]
    assert labels == {0: 0, 1: 1, 10: 2, 11: 3} | {k: k + 2 for k in range(2, 10)}


def test_an_absent_number_keeps_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for k in (0, 1, 2, 4, 5):
        image(tmp_path / f"{k:02d}" / "a.png", k)
    classes, labels = read(tmp_path)
    assert classes == ["00", "01", "02", "03", "04", "05"]
    assert labels == {k: k for k in (0, 1, 2, 4, 5)}
    assert "has no class 03: its names are taken for labels, of 6 classes" in capsys.readouterr().err


def test_a_training_folder_says_which_classes_there_are(tmp_path: Path) -> None:
    for k in (0, 2, 3):
        image(tmp_path / "train" / str(k) / "a.png", k)
    image(tmp_path / "test" / "3" / "a.png", 3)
    assert read(tmp_path) == (["0", "2", "3"], {3: 2})


@pytest.mark.parametrize(
    ("names", "ordered", "filled"),
    [
        (["10", "9", "0"], ["0", "9", "10"], ["0", "9", "10"]),  # most would be absent: names, not labels
        (["2010", "2011"], ["2010", "2011"], ["2010", "2011"]),
        (["3", "1", "2"], ["1", "2", "3"], ["1", "2", "3"]),
        (["2", "4", "1"], ["1", "2", "4"], ["1", "2", "3", "4"]),
        (["b", "10", "9"], ["10", "9", "b"], ["10", "9", "b"]),
        (["1", "01", "2"], ["01", "1", "2"], ["01", "1", "2"]),
        ([], [], []),
    ],
)
def test_class_names_in_order(names: list[str], ordered: list[str], filled: list[str]) -> None:
    assert in_order(names) == ordered
    assert with_absent(ordered) == filled


@pytest.mark.parametrize(
    ("name", "split"), [("valid", "val"), ("Validation", "val"), ("Training", "train"), ("TEST", "test")]
)
def test_splits_have_several_names(name: str, split: str, tmp_path: Path) -> None:
    for place in {"train", "test", name} if split == "val" else {name, "val"}:
        for k in (1, 2):
            image(tmp_path / place / f"c{k}" / "a.png", k + (10 if place == name else 0))
    assert read(tmp_path, split) == (["c1", "c2"], {11: 0, 12: 1})


def test_two_folders_of_one_split_are_refused(tmp_path: Path) -> None:
    for place in ("val", "valid"):
        image(tmp_path / place / "a" / "a.png")
    with pytest.raises(BadData, match="both val and valid; which is 'val'"):
        folder(DataRequest("val", argument=str(tmp_path)))


def test_hidden_files_and_folders_are_no_classes_and_no_images(tmp_path: Path) -> None:
    for k, name in enumerate(("ant", "bee")):
        image(tmp_path / name / "a.png", k)
        image(tmp_path / name / ".ipynb_checkpoints" / "a-checkpoint.png", 77)
        (tmp_path / name / "._a.png").write_bytes(b"of a Mac")
    image(tmp_path / ".ipynb_checkpoints" / "b.png", 78)
    image(tmp_path / "__MACOSX" / "ant" / "b.png", 79)
    assert read(tmp_path) == (["ant", "bee"], {0: 0, 1: 1})


def test_an_empty_class_folder_is_a_class(tmp_path: Path) -> None:
    image(tmp_path / "a" / "a.png", 5)
    (tmp_path / "b").mkdir()
    image(tmp_path / "c" / "a.png", 6)
    assert read(tmp_path) == (["a", "b", "c"], {5: 0, 6: 2})


def test_classes_one_level_further_down_are_named(tmp_path: Path) -> None:
    for top in ("Final_Training", "Final_Test"):
        for k in (0, 1):
            image(tmp_path / top / "Images" / f"{k:05d}" / "a.ppm")
    with pytest.raises(
        BadData, match=r"subfolder 'Final_Test' has images in 2 further.*write folder:.*Final_Test/Images"
    ):
        folder(DataRequest("test", argument=str(tmp_path)))


def test_images_beside_a_table_are_named_with_it(tmp_path: Path) -> None:
    image(tmp_path / "Train" / "0" / "a.png")
    image(tmp_path / "Test" / "00000.png")
    with pytest.raises(BadData, match="but images; put them into class folders"):
        folder(DataRequest("test", argument=str(tmp_path)))
    (tmp_path / "Meta.csv").write_text("x\n")
    (tmp_path / "Test.csv").write_text("Path,ClassId\nTest/00000.png,0\n")
    with pytest.raises(BadData, match=r"but images; if .*Test\.csv has their labels, write csv:.*Test\.csv"):
        folder(DataRequest("test", argument=str(tmp_path)))


def test_folders_without_images_are_named_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="no image folder: it has no subfolder"):
        folder(DataRequest("test", argument=str(tmp_path)))
    (tmp_path / "a").mkdir()
    with pytest.raises(BadData, match=r"no image in its subfolders$"):
        folder(DataRequest("test", argument=str(tmp_path)))
    (tmp_path / "a" / "x.gif").write_bytes(b"x")
    with pytest.raises(BadData, match=r"no image in its subfolders \(files end in \.gif; images end in \.jpg"):
        folder(DataRequest("test", argument=str(tmp_path)))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("sise=3", "no option 'sise'; its options are bits, channels, order, size"),
        ("size=big", "size=big is no size"),
        ("size=0", "size=0 is no size"),
        ("channels=2", "channels=2 is none of 1, 3"),
        ("bits=8", "bits=8 is no whole number from 9 to 16"),
        ("order=", "order is given no value"),
        ("size=3&size=4", "size is given twice"),
    ],
)
def test_wrong_options_are_named(query: str, words: str, tmp_path: Path) -> None:
    image(tmp_path / "a" / "a.png")
    with pytest.raises(UsageError, match=words):
        folder(DataRequest("test", argument=f"{tmp_path}?{query}"))
