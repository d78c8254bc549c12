"""Data sets in memory, in folders and rendered: what `take` hands out, splits, and errors that name the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from harness.errors import BadData, UsageError
from harness.types import DataRequest, Dataset
from model_zoo.datasets import rendered, torchvision_sets
from model_zoo.datasets.base import ArrayDataset, Concatenated, content_hash
from model_zoo.datasets.folder import folder
from model_zoo.datasets.gtsrb import gtsrb
from model_zoo.datasets.rendered import signs


def numbered(n: int, start: int = 0, name: str = "numbered") -> ArrayDataset:
    """Image k is filled with start + k; its label is k modulo 3."""
    images = np.tile((np.arange(n) + start).astype(np.uint8)[:, None, None, None], (1, 2, 2, 3))
    return ArrayDataset(name, images, np.arange(n) % 3, ["a", "b", "c"])


def values(dataset: Dataset, rows: list[int]) -> list[int]:
    return (dataset.take(rows)[0][:, 0, 0, 0] * 255).round().int().tolist()


def test_take_gives_floats_in_the_order_asked() -> None:
    dataset = numbered(10)
    images, labels = dataset.take([7, 2, 2])
    assert (images.dtype, tuple(images.shape), labels.tolist()) == (torch.float32, (3, 3, 2, 2), [1, 2, 2])
    assert values(dataset, [7, 2, 2]) == [7, 2, 2]
    assert images.is_contiguous()
    images.zero_()  # what is handed out is the caller's
    assert values(dataset, [7]) == [7]
    assert isinstance(dataset, Dataset)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 4, 4, 3)), np.zeros(2, int), "float64"),
        (np.zeros((2, 3, 4, 4), np.uint8), np.zeros(2, int), "1 or 3 channels"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.zeros(3, int), "expected 2 integers"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.zeros(2), "float64"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.array([0, 3]), "from 0 to 3; there are 3 classes"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.array([0, -1]), "from -1 to 0"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(images: Any, labels: Any, message: str) -> None:
    with pytest.raises(BadData, match=message):
        ArrayDataset("odd", images, labels, ["a", "b", "c"])


def test_concatenated_sets_keep_order_and_labels() -> None:
    whole = Concatenated([numbered(4), numbered(3, 100), numbered(2, 200)])
    assert len(whole) == 9
    assert values(whole, list(range(9))) == [0, 1, 2, 3, 100, 101, 102, 200, 201]
    assert values(whole, [8, 0, 5, 4]) == [201, 0, 101, 100]
    assert whole.take([8, 0, 5, 4])[1].tolist() == [1, 0, 1, 0]
    assert whole.take([])[0].shape == (0, 3, 2, 2)


def test_concatenated_sets_must_agree() -> None:
    other = ArrayDataset("other", np.zeros((2, 4, 4, 3), np.uint8), np.zeros(2, int), ["a", "b", "c"])
    with pytest.raises(UsageError, match="images of other"):
        Concatenated([numbered(2), other]).take([0, 3])
    fewer = ArrayDataset("fewer", np.zeros((2, 2, 2, 3), np.uint8), np.zeros(2, int), ["a"])
    with pytest.raises(UsageError, match="'numbered': 3, 'fewer': 1"):
        Concatenated([numbered(2), fewer])


def test_the_content_hash_sees_pixels_labels_and_order() -> None:
    hashes = [content_hash(dataset) for dataset in (numbered(4), numbered(4), numbered(5), numbered(4, 1))]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3
    assert content_hash(Concatenated([numbered(4)])) != content_hash(Concatenated([numbered(4, 1)]))


def write_images(top: Path, layout: dict[str, int], size: tuple[int, int] = (6, 4)) -> None:
    for label, count in layout.items():
        (top / label).mkdir(parents=True, exist_ok=True)
        for k in range(count):
            Image.new("RGB", size, (k, 10, 20)).save(top / label / f"{k:03d}.png")


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    write_images(tmp_path, {"cat": 3, "ant": 2})
    dataset = folder(DataRequest("test", argument=str(tmp_path)))
    images, labels = dataset.take([4, 0])
    assert dataset.classes == ("ant", "cat")
    assert (tuple(images.shape), labels.tolist()) == ((2, 3, 4, 6), [1, 0])
    assert values(dataset, [0, 1, 2, 3, 4]) == [0, 1, 0, 1, 2]
    assert dataset.take([])[0].shape == (0, 3, 4, 6)


def test_a_folder_is_split_without_overlap(tmp_path: Path) -> None:
    write_images(tmp_path, {"a": 60, "b": 60})
    parts = {split: folder(DataRequest(split, argument=str(tmp_path))) for split in ("train", "val")}  # type: ignore[arg-type]
    names = {split: {path for path, _ in part._samples} for split, part in parts.items()}
    assert not names["train"] & names["val"]
    assert len(names["train"] | names["val"]) == 120
    assert 3 <= len(names["val"]) <= 30


def test_split_folders_are_used_where_there_are_some(tmp_path: Path) -> None:
    write_images(tmp_path / "train", {"a": 2, "b": 2})
    write_images(tmp_path / "test", {"a": 1, "b": 1})
    assert len(folder(DataRequest("train", argument=str(tmp_path)))) == 4
    assert len(folder(DataRequest("test", argument=str(tmp_path)))) == 2
    with pytest.raises(BadData, match=r"no subfolder 'val'.*train, test"):
        folder(DataRequest("val", argument=str(tmp_path)))


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ({"train": "abc", "val": "ac", "test": "c"}, {"train": [0, 1, 2], "val": [0, 2], "test": [2]}),
        ({"val": "ac", "test": "bc"}, {"val": [0, 2], "test": [1, 2]}),
    ],
    ids=["as in train", "without train"],
)
def test_a_class_has_one_number_in_all_split_folders(
    layout: dict[str, str], expected: dict[str, list[int]], tmp_path: Path
) -> None:
    for split, classes in layout.items():
        write_images(tmp_path / split, dict.fromkeys(classes, 1))
    parts = {split: folder(DataRequest(split, argument=str(tmp_path))) for split in layout}  # type: ignore[arg-type]
    assert {part.classes for part in parts.values()} == {("a", "b", "c")}
    assert {split: part.take(range(len(part)))[1].tolist() for split, part in parts.items()} == expected


def test_a_class_that_train_lacks_is_refused(tmp_path: Path) -> None:
    write_images(tmp_path / "train", {"a": 1, "b": 1, "c": 1})
    write_images(tmp_path / "val", {"a": 1, "c": 1, "d": 1})
    with pytest.raises(BadData, match=r"val has the class 'd', which .*train lacks"):
        folder(DataRequest("val", argument=str(tmp_path)))


def test_the_seed_of_a_training_does_not_move_the_split(tmp_path: Path) -> None:
    """A training that starts from another one is validated on images its start has not seen."""
    write_images(tmp_path, {"a": 60, "b": 60})
    parts = [folder(DataRequest("val", argument=str(tmp_path), seed=seed)) for seed in (0, 1)]
    assert parts[0]._samples == parts[1]._samples
    names = [path.removeprefix(f"{tmp_path}/") for path, _ in parts[0]._samples]
    numbers = {"a": (0, 8, 14, 50, 56), "b": (4, 5, 13, 48, 52)}  # what seed 0 has always held out
    assert names == [f"{label}/{k:03d}.png" for label, ks in numbers.items() for k in ks]


def test_what_is_wrong_in_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="folder:DIR"):
        folder(DataRequest("test"))
    with pytest.raises(BadData, match="gone does not exist"):
        folder(DataRequest("test", argument=str(tmp_path / "gone")))
    with pytest.raises(BadData, match="no image folder"):
        folder(DataRequest("test", argument=str(tmp_path)))
    write_images(tmp_path, {"a": 2})
    write_images(tmp_path, {"b": 1}, size=(7, 4))
    with pytest.raises(BadData, match=r"b/000\.png is 7x4, the first one of the folder 6x4"):
        folder(DataRequest("test", argument=str(tmp_path))).take([0, 2])
    (tmp_path / "a" / "001.png").write_bytes(b"\x89PNG no")
    with pytest.raises(BadData, match=r"a/001\.png cannot be read"):
        folder(DataRequest("test", argument=str(tmp_path))).take([1])


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    monkeypatch.setattr(rendered, "DEFAULT_ROWS", {"train": 50, "val": 45})
    return tmp_path


def test_rendered_splits_differ_and_are_balanced(cache: Path) -> None:
    train, val = signs(DataRequest("train")), signs(DataRequest("val"))
    assert (train.name, len(train), val.name, len(val)) == ("signs-train", 50, "signs-val", 45)
    assert train.take(range(43))[1].tolist() == list(range(43))
    assert not torch.equal(train.images[:45], val.images)
    assert len(signs(DataRequest("train", argument="7"))) == 7
    assert torch.equal(signs(DataRequest("train", argument="7")).images, train.images[:7])
    assert not torch.equal(signs(DataRequest("train", argument="7", seed=1)).images, train.images[:7])


def test_renderings_are_kept_and_a_torn_file_is_rendered_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = signs(DataRequest("train", argument="5"))
    (file,) = cache.glob("signs-train-5-*.npy")
    file.write_bytes(file.read_bytes()[:500])
    assert signs(DataRequest("train", argument="5")).sha256 == first.sha256

    def refuse(*_: object) -> None:
        raise RuntimeError("rendered")

    monkeypatch.setattr("model_zoo.datasets.signs.render.render_set", refuse)
    assert signs(DataRequest("train", argument="5")).sha256 == first.sha256


@pytest.mark.parametrize("argument", ["0", "-3", "many", "1.5", "²"])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_number_of_signs_that_is_none_is_refused(argument: str, split: Any) -> None:
    with pytest.raises(UsageError, match="signs:34000"):
        signs(DataRequest(split, argument=argument))


def test_a_number_of_signs_is_for_training(cache: Path) -> None:
    assert len(signs(DataRequest("val", argument="7"))) == 45  # a training asks for both splits under one name
    with pytest.raises(UsageError, match=r"signs:100 says how many images to train on.*--n 100"):
        signs(DataRequest("test", argument="100"))


@pytest.mark.parametrize("kind", [torchvision_sets.cifar10, torchvision_sets.mnist, gtsrb])
def test_an_argument_that_would_be_ignored_is_refused(kind: Any, tmp_path: Path) -> None:
    name = kind.__name__
    with pytest.raises(UsageError, match=f"data set {name} takes no argument, and {name}:1000 gives it one"):
        kind(DataRequest("test", tmp_path, argument="1000"))


def test_torchvision_s_sets_are_split_without_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    class Official:
        def __init__(self, root: str, train: bool, download: bool) -> None:
            self.data = torch.arange(200, dtype=torch.uint8)[:, None, None].expand(200, 4, 4)
            self.targets = torch.arange(200) % 10
            self.classes = [str(k) for k in range(10)]

    monkeypatch.setattr(datasets, "MNIST", Official)
    monkeypatch.setattr(torchvision_sets, "VALIDATION_ROWS", 20)
    parts = {s: torchvision_sets.mnist(DataRequest(s, tmp_path)) for s in ("train", "val", "test")}  # type: ignore[arg-type]
    assert {s: len(part) for s, part in parts.items()} == {"train": 180, "val": 20, "test": 200}
    both = values(parts["train"], list(range(180))) + values(parts["val"], list(range(20)))
    assert sorted(both) == list(range(200))
    assert parts["test"].take([0])[0].shape == (1, 1, 4, 4)
    assert torchvision_sets.mnist(DataRequest("val", tmp_path, seed=1)).sha256 == parts["val"].sha256
    seed_0 = np.sort(np.random.default_rng(0).permutation(200)[:20])
    assert values(parts["val"], list(range(20))) == seed_0.tolist()


def test_a_failed_download_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no network")

    monkeypatch.setattr(datasets, "CIFAR10", refuse)
    with pytest.raises(BadData, match=r"cifar10 is not under .*no network.*--data-root"):
        torchvision_sets.cifar10(DataRequest("test", tmp_path))
