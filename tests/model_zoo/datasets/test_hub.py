"""``hf:DIR`` against a stand-in for the package ``datasets``, and torchvision's sets with their test files only."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import struct
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.errors import BadData, MissingPackage
from harness.types import DataRequest
from model_zoo.datasets import torchvision_sets
from model_zoo.datasets.hub import hub


class Rows:
    """As much of a table of ``datasets`` as is used: columns by name, rows by number, features."""

    def __init__(self, names: list[str] | None = None, column: str = "img", **labels: Any) -> None:
        self.label, self.values = next(iter(labels.items())) if labels else ("label", [1, 0, 1])
        self.column = column
        self.features = {column: SimpleNamespace(), self.label: SimpleNamespace(names=names)}

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return self.values
        return {self.column: Image.new("RGB", (4, 3), (key * 10, 0, 0)), self.label: self.values[key]}


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_from_disk=lambda path: kept[Path(path).name]))  # type: ignore[arg-type]
    return kept


def test_a_saved_table_is_read_row_by_row(disk: dict[str, Any], tmp_path: Path) -> None:
    disk[tmp_path.name] = {"train": Rows(), "test": Rows(["cat", "dog"])}
    data = hub(DataRequest("test", argument=str(tmp_path)))
    images, labels = data.take([2, 0])
    assert (tuple(images.shape), labels.tolist(), data.classes) == ((2, 3, 3, 4), [1, 1], ("cat", "dog"))
    assert (images[:, 0, 0, 0] * 255).round().tolist() == [20, 0]
    assert hub(DataRequest("train", argument=f"{tmp_path}?size=8")).take([1])[0].shape == (1, 3, 8, 8)
    assert data.take([])[0].shape == (0, 3, 3, 4)
    with pytest.raises(BadData, match=r"has no split 'val' \(it has train, test\)"):
        hub(DataRequest("val", argument=str(tmp_path)))


def test_columns_are_named(disk: dict[str, Any], tmp_path: Path) -> None:
    disk[tmp_path.name] = Rows(column="photo", truth=[0, 1, 2])
    with pytest.raises(BadData, match=r"no column 'image' \(it has photo, truth\); name one: \?image=COLUMN"):
        hub(DataRequest("test", argument=str(tmp_path)))
    data = hub(DataRequest("test", argument=f"{tmp_path}?image=photo&label=truth"))
    assert (data.classes, data.take([2])[1].tolist()) == (("0", "1", "2"), [2])
    disk[tmp_path.name] = Rows(label=[0.5, 1, 2])
    with pytest.raises(BadData, match="column 'label' holds no whole numbers"):
        hub(DataRequest("test", argument=str(tmp_path)))


def test_without_the_package_or_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)  # type: ignore[arg-type]  # how an import is made to fail
    with pytest.raises(MissingPackage, match="pip install datasets"):
        hub(DataRequest("test", argument=str(tmp_path)))
    with pytest.raises(BadData, match="does not exist"):
        hub(DataRequest("test", argument=str(tmp_path / "gone")))


def test_mnist_s_test_files_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    pixels = np.arange(3 * 28 * 28, dtype=np.uint32).reshape(3, 28, 28).astype(np.uint8)
    (raw / "t10k-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 2051, 3, 28, 28) + pixels.tobytes())
    (raw / "t10k-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, 3) + bytes([7, 2, 1]))
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["file:///nowhere/"])  # no network
    data = torchvision_sets.mnist(DataRequest("test", tmp_path))
    assert data.labels.tolist() == [7, 2, 1]
    assert (data.images[..., 0].numpy() == pixels).all()
    for name in ("images-idx3", "labels-idx1"):  # packed, as they are offered
        path = raw / f"t10k-{name}-ubyte"
        packed = gzip.compress(path.read_bytes(), mtime=0)
        path.with_suffix(".gz").write_bytes(packed)
        path.unlink()
    resources = [(f"t10k-{n}-ubyte.gz", _md5(raw / f"t10k-{n}-ubyte.gz")) for n in ("images-idx3", "labels-idx1")]
    monkeypatch.setattr(datasets.MNIST, "resources", [("train-images-idx3-ubyte.gz", "0"), *resources])
    assert torchvision_sets.mnist(DataRequest("test", tmp_path)).labels.tolist() == [7, 2, 1]
    with pytest.raises(BadData, match="mnist is not under"):
        torchvision_sets.mnist(DataRequest("train", tmp_path))


def test_cifar_s_test_file_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32)).astype(np.uint8)
    content = pickle.dumps({"data": pixels.reshape(2, -1), "labels": [9, 4]})
    (folder / "test_batch").write_bytes(content)
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", _md5(folder / "test_batch")]])
    data = torchvision_sets.cifar10(DataRequest("test", tmp_path))
    assert (data.images.numpy() == pixels.transpose(0, 2, 3, 1)).all()
    assert [data.classes[k] for k in data.labels] == ["truck", "deer"]


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()
