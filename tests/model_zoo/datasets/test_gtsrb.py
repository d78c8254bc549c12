"""GTSRB from npz files: the track-disjoint split, what is checked, and which file is to blame."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.errors import BadData
from harness.types import DataRequest
from model_zoo.datasets import gtsrb_download
from model_zoo.datasets.gtsrb import gtsrb, validation_rows

REAL = Path(os.environ.get("HARNESS_DATA", "/nowhere"))


def write(folder: Path, name: str, tracks: range, **changes: Any) -> None:
    """Five frames a track; the class of a track is its number modulo 3; the first pixel is the track's number."""
    track = np.repeat(np.array(list(tracks), dtype=np.int32), 5)
    images = np.zeros((len(track), 32, 32, 3), dtype=np.uint8)
    images[:, 0, 0, 0] = track
    images[:, 0, 0, 1] = np.arange(len(track))
    arrays = {"images": images, "labels": (track % 3).astype(np.uint8), "track": track, **changes}
    folder.mkdir(exist_ok=True)
    np.savez(folder / name, **{key: value for key, value in arrays.items() if value is not None})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "gtsrb32"
    for k in range(3):
        write(folder, f"train-{k}.npz", range(30 * k, 30 * (k + 1)))
    write(folder, "test.npz", range(200, 206))
    return tmp_path


def tracks_of(root: Path, split: Any, seed: int = 0) -> list[int]:
    dataset = gtsrb(DataRequest(split, root, seed=seed))
    return (dataset.take(range(len(dataset)))[0][:, 0, 0, 0] * 255).round().int().tolist()


def test_train_and_validation_share_no_track_and_lose_no_image(root: Path) -> None:
    train, val = tracks_of(root, "train"), tracks_of(root, "val")
    assert not set(train) & set(val)
    assert sorted(train + val) == sorted(track for track in range(90) for _ in range(5))
    assert len(val) == 9 * 5  # a tenth of the thirty tracks of each of the three classes
    assert sorted(track % 3 for track in set(val)) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_the_split_is_the_same_each_time_and_for_every_seed(root: Path) -> None:
    """So a training that starts from another one is validated on tracks its start has not seen."""
    assert tracks_of(root, "val") == tracks_of(root, "val") == tracks_of(root, "val", seed=1)
    assert tracks_of(root, "train") == tracks_of(root, "train", seed=1)
    labels, track = np.arange(90) % 3, np.arange(90)
    held_out = track[validation_rows(labels, track, seed=0)]  # as cards have hashed it
    assert sorted(set(tracks_of(root, "val"))) == held_out.tolist()
    assert held_out.tolist() != track[validation_rows(labels, track, seed=1)].tolist()


def test_a_class_with_one_track_stays_in_training() -> None:
    labels, track = np.array([0, 0, 1, 1, 1, 1]), np.array([7, 7, 8, 8, 9, 9])
    held_out = validation_rows(labels, track, seed=0)
    assert not held_out[:2].any()
    assert held_out[2:].sum() == 2


def test_names_values_and_the_folder_itself_as_root(root: Path) -> None:
    dataset = gtsrb(DataRequest("test", root / "gtsrb32"))
    images, labels = dataset.take([0, 7])
    assert (dataset.name, len(dataset), len(dataset.classes)) == ("gtsrb-test", 30, 43)
    assert (images.dtype, tuple(images.shape), labels.dtype) == (torch.float32, (2, 3, 32, 32), torch.int64)
    assert images[1, 0, 0, 0] == pytest.approx(201 / 255)
    assert images[1, 1, 0, 0] == pytest.approx(7 / 255)
    assert labels.tolist() == [200 % 3, 201 % 3]
    assert gtsrb(DataRequest("val", root)).name == "gtsrb-val"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": np.zeros((150, 32, 32, 3), dtype=np.float32)}, "images are float32.*expected uint8"),
        ({"images": np.zeros((150, 3, 32, 32), dtype=np.uint8)}, r"\(150, 3, 32, 32\)"),
        ({"labels": np.zeros(149, dtype=np.uint8)}, r"labels is uint8 \(149,\); expected 150"),
        ({"labels": np.full(150, 43, dtype=np.uint8)}, "a label of 43 to 43 is outside the 43 classes"),
        ({"track": np.zeros(150)}, "track is float64"),
        ({"track": None}, "no array 'track'"),
        ({"images": np.array([object()] * 150)}, "pickled objects, which are never loaded"),
    ],
)
def test_wrong_arrays_are_named_with_their_file(root: Path, changes: dict[str, Any], message: str) -> None:
    write(root / "gtsrb32", "train-1.npz", range(30, 60), **changes)
    with pytest.raises(BadData, match=message) as caught:
        gtsrb(DataRequest("train", root))
    assert "train-1.npz" in str(caught.value)


@pytest.mark.parametrize("damage", ["empty", "text", "truncated", "flipped"])
def test_corrupt_files_are_named(root: Path, damage: str) -> None:
    path = root / "gtsrb32" / "test.npz"
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 0xFF
    path.write_bytes(
        {"empty": b"", "text": b"<html>", "truncated": bytes(content[: len(content) // 2]), "flipped": bytes(content)}[
            damage
        ]
    )
    with pytest.raises(BadData, match=r"test\.npz"):
        gtsrb(DataRequest("test", root))


def test_a_missing_part_is_named(root: Path) -> None:
    (root / "gtsrb32" / "train-2.npz").unlink()
    with pytest.raises(BadData, match=r"train-2\.npz is missing"):
        gtsrb(DataRequest("train", root))


def test_a_missing_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="nowhere is no folder"):
        gtsrb(DataRequest("test", tmp_path / "nowhere"))


def test_without_files_and_without_network_the_message_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import datasets

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(datasets, "GTSRB", refuse)
    with pytest.raises(BadData, match=r"no network.*--data-root.*--data signs"):
        gtsrb(DataRequest("test", tmp_path))


def test_the_download_gives_tracks_and_leaves_the_doubled_one_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image
    from torchvision import datasets

    samples = []
    for label, track in ((14, 22), (14, 23), (14, 24), (3, 23)):
        path = tmp_path / f"{label}-{track}" / f"{track:05d}_00007.ppm"
        path.parent.mkdir()
        Image.new("RGB", (40, 50), (label, track, 0)).save(path)
        samples.append((str(path), label))

    class Official:
        def __init__(self, *_: object, **__: object) -> None:
            self._samples = samples

    monkeypatch.setattr(datasets, "GTSRB", Official)
    arrays = gtsrb_download.download("train", tmp_path)
    assert arrays["images"][:, 0, 0].tolist() == [[14, 22, 0], [14, 24, 0], [3, 23, 0]]
    assert arrays["labels"].tolist() == [14, 14, 3]
    assert len(set(arrays["track"].tolist())) == 3


def test_resizing_is_bilinear_without_antialiasing() -> None:
    image = np.zeros((64, 64, 3), dtype=np.uint8)
    image[::2] = 200  # every output pixel lies between a bright and a dark row
    assert (gtsrb_download.resize(image) == 100).all()
    stripes = np.zeros((128, 128, 3), dtype=np.uint8)
    stripes[:, 1::4] = 200  # with antialiasing all columns would come out equal to the mean of 50
    assert (gtsrb_download.resize(stripes) == 100).all()


@pytest.mark.real
@pytest.mark.skipif(not (REAL / "gtsrb32").is_dir(), reason="HARNESS_DATA holds no gtsrb32")
def test_the_real_files() -> None:
    sizes = {}
    for split in ("train", "val", "test"):
        dataset = gtsrb(DataRequest(split, REAL))  # type: ignore[arg-type]
        sizes[split] = len(dataset)
        assert len(dataset.labels.unique()) == 43
    assert sizes["test"] == 12_630
    assert sizes["train"] + sizes["val"] == 39_179
    assert 0.08 < sizes["val"] / 39_179 < 0.12
