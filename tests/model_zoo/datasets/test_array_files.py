"""Arrays from files and tables of paths: what is read is told, and what could be two things is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness import find_data
from harness.errors import BadData, UsageError
from harness.types import DataRequest, Dataset
from model_zoo.datasets.array_files import arrays
from model_zoo.datasets.csv_table import table

PIXELS = np.arange(4 * 5 * 6 * 3, dtype=np.uint16).reshape(4, 5, 6, 3) % 256
"""Four images, [N,H,W,C], values 0 to 255."""
LABELS = np.array([2, 0, 1, 2])
RIGHT = PIXELS.transpose(0, 3, 1, 2) / 255


def same(data: Dataset, images: Any = RIGHT, labels: Any = LABELS) -> None:
    found, numbers = data.take(range(len(data)))
    np.testing.assert_allclose(found.numpy(), images, rtol=1e-6)
    assert numbers.tolist() == list(labels)
    assert found.is_contiguous()


@pytest.mark.parametrize(
    ("images", "why"),
    [
        (PIXELS.astype(np.uint8), "layout nhwc, white is 255 (uint8)"),
        (PIXELS.astype(np.uint8).transpose(0, 3, 1, 2), "layout nchw, white is 255 (uint8)"),
        ((PIXELS / 255).astype(np.float32), "layout nhwc, white is 1 (floats from 0 to 1)"),
        (RIGHT, "layout nchw, white is 1 (floats from 0 to 1)"),
        (PIXELS.astype(np.float64), "white is 255 (whole numbers up to 255)"),
        (PIXELS.astype(np.int64), "white is 255 (whole numbers up to 255)"),
        ((PIXELS * 257).astype(np.uint16), "white is 65535 (whole numbers up to 65535)"),
    ],
)
def test_layout_and_range_are_read_and_said(
    images: np.ndarray, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "a.npz", images=images, labels=LABELS)
    data = find_data(str(tmp_path / "a.npz"))
    same(data)
    said = capsys.readouterr().err
    assert why in said
    assert said.count("\n") == 1
    assert (data.name, list(data.classes)) == ("arrays-a-test", ["0", "1", "2"])
    np.save(tmp_path / "i.npy", images)
    np.save(tmp_path / "l.npy", LABELS.astype(np.uint8))
    same(find_data(f"{tmp_path}/i.npy,{tmp_path}/l.npy"))


def test_gray_images_need_no_channel(tmp_path: Path) -> None:
    gray = PIXELS[..., 0].astype(np.uint8)
    np.savez(tmp_path / "a.npz", x_test=gray, y_test=LABELS, x_train=gray[:1], y_train=LABELS[:1])
    same(find_data(str(tmp_path / "a.npz")), gray[:, None] / 255)


@pytest.mark.parametrize(
    ("labels", "numbers", "classes"),
    [
        (np.eye(4)[LABELS], LABELS, 4),
        (LABELS.astype(np.float32), LABELS, 3),
        (LABELS.astype(np.uint8)[:, None], LABELS, 3),
        (LABELS > 0, [1, 0, 1, 1], 2),
    ],
    ids=["one-hot", "float", "column", "bool"],
)
def test_odd_labels_are_read(labels: np.ndarray, numbers: Any, classes: int, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=PIXELS.astype(np.uint8), labels=labels)
    data = find_data(str(tmp_path / "a.npz"))
    same(data, labels=numbers)
    assert len(data.classes) == classes


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (LABELS + 0.5, "float64 with fractions; expected 4 whole numbers"),
        (np.array([0.0, 1, np.nan, 2]), "with fractions"),
        (LABELS[:3], r"are \(3,\) for 4 images"),
        (np.ones((4, 3)), "but not one-hot"),
        (LABELS - 1, "run from -1 to 1; class numbers count from 0"),
        (np.array(list("abca")), "of type <U1"),
    ],
)
def test_labels_that_are_none_are_refused(labels: np.ndarray, words: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=PIXELS.astype(np.uint8), labels=labels)
    with pytest.raises(BadData, match=words):
        find_data(str(tmp_path / "a.npz"))


def test_labels_from_one(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=PIXELS.astype(np.uint8), labels=LABELS + 1)
    assert len(find_data(str(tmp_path / "a.npz")).classes) == 4
    data = find_data(f"{tmp_path}/a.npz?first=1")
    same(data)
    assert list(data.classes) == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("images", "words", "option"),
    [
        (np.zeros((4, 3, 6, 3), np.uint8), "the second or the last axis; say", "layout=nhwc"),
        (np.full((4, 5, 6, 3), 1.7), "say what white is", "range=2"),
        (np.full((4, 5, 6, 3), 1, np.int64), "say what white is", "range=1"),
        (np.full((4, 5, 6, 3), 900, np.uint16), "from 900 to 900; say what white is", "range=1023"),
        (np.full((4, 5, 6, 3), 200.5), "say what white is", "range=255"),
    ],
)
def test_what_could_be_two_things_is_asked(images: np.ndarray, words: str, option: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=images, labels=LABELS)
    with pytest.raises(BadData, match=words):
        find_data(str(tmp_path / "a.npz"))
    white = 255 if option.startswith("layout") else float(option.partition("=")[2])
    same(find_data(f"{tmp_path}/a.npz?{option}"), images.transpose(0, 3, 1, 2) / white)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (PIXELS / 127.5 - 1, "from -1 to 1: they are normalized"),
        (np.zeros((4, 5, 6, 4), np.uint8), "neither the second nor the last axis"),
        (np.zeros((4, 90), np.uint8), r"expected \[N,H,W\]"),
        (np.full((4, 5, 6, 3), np.nan), "nan or infinite"),
        (np.zeros((0, 5, 6, 3), np.uint8), "are .4,. for 0 images"),
        (np.zeros((4, 0, 6, 3), np.uint8), r"are \(4, 0, 6, 3\): there is no pixel in them"),
    ],
)
def test_images_that_are_none_are_refused(images: np.ndarray, words: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=images, labels=LABELS)
    with pytest.raises(BadData, match=words):
        find_data(str(tmp_path / "a.npz"))


def test_no_sample_is_one_line(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((0, 5, 6, 3), np.uint8), labels=np.zeros(0, int))
    with pytest.raises(BadData, match=r"are \(0, 5, 6, 3\): there is none"):
        find_data(str(tmp_path / "a.npz"))


def test_names_of_arrays_and_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", pictures=PIXELS.astype(np.uint8), truth=LABELS, classes=np.array(["a", "b", "c"]))
    with pytest.raises(BadData, match=r"no array of images that is known \(it has pictures, truth, classes\)"):
        find_data(str(tmp_path / "a.npz"))
    data = find_data(f"{tmp_path}/a.npz?images=pictures&labels=truth")
    same(data)
    assert list(data.classes) == ["a", "b", "c"]
    with pytest.raises(BadData, match="there is no file"):
        find_data(str(tmp_path / "b.npz"))
    with pytest.raises(UsageError, match=r"neither images\.npz nor images\.npy,labels\.npy"):
        find_data(str(tmp_path / "b.npy"))
    np.save(tmp_path / "o.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(BadData, match="cannot be read as an npy file"):
        find_data(f"{tmp_path}/o.npy,{tmp_path}/o.npy")


def test_arrays_are_split_without_overlap(tmp_path: Path) -> None:
    images = np.arange(40, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(40) % 4)
    parts = {s: arrays(DataRequest(s, argument=f"{tmp_path}/a.npz")) for s in ("train", "val", "test")}  # type: ignore[arg-type]
    seen = {s: {round(v * 255) for v in p.take(range(len(p)))[0][:, 0, 0, 0].tolist()} for s, p in parts.items()}
    assert {s: len(found) for s, found in seen.items()} == {"train": 36, "val": 4, "test": 40}
    assert not seen["train"] & seen["val"]


def write_table(folder: Path, lines: list[str], header: str = "Width,ClassId,Path", separator: str = ",") -> Path:
    for k in range(4):
        Image.new("RGB", (4 + k, 3), (k, 0, 0)).save(folder / f"{k}.png")
    path = folder / "Test.csv"
    path.write_text("\n".join([header, *lines]).replace(",", separator) + "\n", encoding="utf-8-sig")
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_names_images_and_labels(separator: str, tmp_path: Path) -> None:
    path = write_table(tmp_path, ["9,2,2.png", "9,0,0.png", "9,12,1.png"], separator=separator)
    data = find_data(f"csv:{path}?size=4x3")
    images, labels = data.take([0, 1, 2])
    assert (images[:, 0, 1, 1] * 255).round().tolist() == [2, 0, 1]
    assert labels.tolist() == [2, 0, 12]
    assert list(data.classes) == [str(k) for k in range(13)]
    assert find_data(f"csv:{path}?size=4x3&first=0").take([2])[1].tolist() == [12]


def test_names_as_labels_and_other_columns(tmp_path: Path) -> None:
    path = write_table(tmp_path, ["stop,1.png", "go,0.png", "stop,2.png"], "truth,photo")
    with pytest.raises(
        BadData, match=r"no column of paths that is known \(it has truth, photo\); name it: \?path=COLUMN"
    ):
        find_data(f"csv:{path}")
    data = find_data(f"csv:{path}?path=photo&label=truth&size=3")
    assert (data.take([0, 1, 2])[1].tolist(), list(data.classes)) == ([1, 0, 1], ["go", "stop"])


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "has no lines below its header"),
        (["9,0"], "line 2 has 2 fields, the header 3"),
        (["9,0,0.png", "9,1,gone.png"], "line 3: there is no image .*gone"),
        (["9,0,0.png", f"9,1,{'x' * 300}.png"], "line 3: there is no image .*xxx"),
        (["9,0,0.png", "9,,1.png"], "line 3 has no label"),
        (["9,0,0.png", "9,stop,1.png"], "line 3 has the label 'stop', line 2 '0'; numbers or names"),
        (["9,0,0.png", f"9,{'1' * 5000},1.png"], "line 3 has the label '111.*numbers or names"),
    ],
)
def test_what_is_wrong_in_a_table_is_named_with_its_line(lines: list[str], words: str, tmp_path: Path) -> None:
    path = write_table(tmp_path, lines)
    with pytest.raises(BadData, match=words):
        table(DataRequest("test", argument=str(path)))


def test_a_file_of_five_severities_is_read_part_by_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As CIFAR-10-C has them: the mildest fifth first, labels repeated."""
    monkeypatch.chdir(tmp_path)
    images = np.repeat(np.arange(10, dtype=np.uint8) * 20, 4 * 4 * 3).reshape(10, 4, 4, 3)
    np.save("fog.npy", images)
    np.save("labels.npy", np.tile([0, 1], 5))
    third = find_data("fog.npy,labels.npy?severity=3")
    assert (third.name, len(third)) == ("arrays-fog-severity-3-test", 2)
    found, labels = third.take([0, 1])
    assert (found[:, 0, 0, 0] * 255).round().tolist() == [80, 100]
    assert labels.tolist() == [0, 1]
    assert len(find_data("fog.npy,labels.npy")) == 10
    with pytest.raises(UsageError, match="severity=6 is no whole number from 1 to 5"):
        find_data("fog.npy,labels.npy?severity=6")
    np.save("odd.npy", images[:9])
    np.save("odd-labels.npy", np.arange(9) % 2)
    with pytest.raises(BadData, match="are 9, which are not 5 equal parts; leave severity out"):
        find_data("odd.npy,odd-labels.npy?severity=1")
