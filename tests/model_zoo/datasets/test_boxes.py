"""Boxes from files: arrays, tables, GTSRB's regions of interest; in pixels of the images as they are taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness import find_data
from harness.errors import BadData, UsageError
from harness.inputs.boxes import boxes_of
from harness.types import DataRequest
from model_zoo.datasets.csv_table import table
from model_zoo.datasets.gtsrb import gtsrb

IMAGES = np.zeros((4, 6, 5, 3), np.uint8)
LABELS = np.array([0, 1, 0, 1])
EDGES = np.array([[0, 0, 2, 3], [1, 1, 5, 6], [0, 2, 4.5, 3], [2, 2, 3, 3]])


@pytest.mark.parametrize(("name", "option"), [("boxes", ""), ("boxes_test", ""), ("roi", "?boxes=roi")])
def test_an_npz_file_has_an_array_of_them(name: str, option: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=LABELS, **{name: EDGES})
    found = boxes_of(find_data(f"{tmp_path}/a.npz{option}"), [3, 1], (3, 6, 5))
    assert found.tolist() == EDGES[[3, 1]].tolist()


def test_those_of_a_split_stay_with_their_images(tmp_path: Path) -> None:
    labels, edges = np.arange(20) % 2, np.tile([0, 0, 1, 1], (20, 1)) + np.arange(20)[:, None]
    np.savez(tmp_path / "a.npz", images=np.arange(20, dtype=np.uint8)[:, None, None] * np.ones((6, 5), np.uint8),
             labels=labels, boxes=edges)  # fmt: skip
    for split in ("train", "val"):
        data = find_data(f"{tmp_path}/a.npz?range=255", split=split)
        images, _ = data.take(range(len(data)))
        rows = (images[:, 0, 0, 0] * 255).round().int().tolist()
        assert data.boxes(range(len(data)))[:, 0].tolist() == rows  # type: ignore[attr-defined]


def test_arrays_of_another_form_are_refused_when_they_are_asked_for(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=LABELS, boxes=EDGES[:, :2])
    data = find_data(f"{tmp_path}/a.npz")
    assert len(data.take([0])[0]) == 1
    with pytest.raises(
        BadData, match=r"boxes of arrays-a-test are float64 \(4, 2\); expected numbers \[4,4\]: left, top"
    ):
        boxes_of(data, [0], (3, 6, 5))


def written(folder: Path, header: str, lines: list[str]) -> Path:
    for k in range(3):
        Image.new("RGB", (10 * (k + 1), 20)).save(folder / f"{k}.png")
    (folder / "t.csv").write_text("\n".join([header, *lines]))
    return folder / "t.csv"


@pytest.mark.parametrize(
    ("header", "option"),
    [("Roi.X1,Roi.Y1,Roi.X2,Roi.Y2,ClassId,Path", ""), ("XMIN,YMIN,xmax,ymax,label,path", ""),
     ("a,b,c,d,label,path", "&box=a,b,c,d")],
)  # fmt: skip
def test_boxes_of_a_table_are_resized_with_their_images(header: str, option: str, tmp_path: Path) -> None:
    path = written(tmp_path, header, ["1,2,5,10,0,0.png", "4,0,20,20,1,1.png", "0,5,15,10,0,2.png"])
    data = table(DataRequest("test", argument=f"{path}?size=32x16{option}"))
    assert data.take([0])[0].shape[2:] == (16, 32)
    found = boxes_of(data, [0, 1, 2], (3, 16, 32))
    expected = [[3.2, 1.6, 16, 8], [6.4, 0, 32, 16], [0, 4, 16, 8]]
    np.testing.assert_allclose(found, expected)


def test_a_table_without_boxes_or_with_no_numbers_is_read_as_before(tmp_path: Path) -> None:
    path = written(tmp_path, "left,top,right,bottom,label,path", ["1,2,5,,0,0.png", "4,0,20,20,1,1.png"])
    data = table(DataRequest("test", argument=f"{path}?size=32x16"))
    assert len(data.take([0, 1])[1]) == 2
    with pytest.raises(BadData, match=r"the box of sample 0 is \(3.2, 1.6, 16, nan\)"):
        boxes_of(data, [1, 0], (3, 16, 32))
    assert (
        table(DataRequest("test", argument=f"{path}?label=label&size=8&box=top,left,right,bottom")).boxes([1])
        is not None
    )
    with pytest.raises(BadData, match="has no column 'x'"):
        table(DataRequest("test", argument=f"{path}?box=x,top,right,bottom"))
    with pytest.raises(UsageError, match="option box=left,top is not four columns; write box=LEFT,TOP,RIGHT,BOTTOM"):
        table(DataRequest("test", argument=f"{path}?box=left,top"))


def test_gtsrb_has_regions_of_interest_in_its_archive_and_may_have_them_in_npz(tmp_path: Path) -> None:
    images = tmp_path / "official" / "Final_Test" / "Images"
    images.mkdir(parents=True)
    for k in range(2):
        Image.new("RGB", (64, 48 + 16 * k)).save(images / f"{k:05d}.ppm")
    lines = ["00000.ppm;64;48;6;6;60;45;1", "00001.ppm;64;64;5;8;59;60;2"]
    (tmp_path / "official" / "GT-final_test.csv").write_text(
        "\n".join(["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId", *lines])
    )
    found = boxes_of(gtsrb(DataRequest("test", tmp_path / "official")), [0, 1], (3, 32, 32))
    np.testing.assert_allclose(found, [[3, 4, 30, 30], [2.5, 4, 29.5, 30]])

    arrays = {"images": np.zeros((2, 32, 32, 3), np.uint8), "labels": np.array([1, 2], np.uint8)}
    (tmp_path / "npz").mkdir()
    np.savez(tmp_path / "npz" / "test.npz", **arrays, boxes=found)
    np.testing.assert_array_equal(boxes_of(gtsrb(DataRequest("test", tmp_path / "npz")), [0, 1], (3, 32, 32)), found)
    np.savez(tmp_path / "npz" / "test.npz", **arrays)
    with pytest.raises(BadData, match="data set 'gtsrb-test' has no boxes"):
        boxes_of(gtsrb(DataRequest("test", tmp_path / "npz")), [0], (3, 32, 32))
