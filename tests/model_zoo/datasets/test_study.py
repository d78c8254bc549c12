"""The study's random split: every image once, the same for every seed, and it says what it is made of."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import UsageError
from harness.types import DataRequest
from model_zoo.datasets.rendered import signs
from model_zoo.datasets.study import study

REAL = Path(os.environ.get("HARNESS_DATA", "/nowhere"))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A GTSRB of 60 training images of 12 tracks and 20 test images, each of one color that no other has."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "gtsrb32"
    folder.mkdir()
    for k, name in enumerate(("train-0", "train-1", "train-2", "test")):
        images = np.zeros((20, 32, 32, 3), dtype=np.uint8)
        images[..., 0], images[..., 1] = k, np.arange(20)[:, None, None]
        tracks = {} if name == "test" else {"track": np.arange(20, dtype=np.int32) // 5 + 4 * k}
        np.savez(folder / f"{name}.npz", images=images, labels=(np.arange(20) // 5 % 2).astype(np.uint8), **tracks)
    return tmp_path


def pixels(split: Any, root: Path, **request: Any) -> set[bytes]:
    data = study(DataRequest(split, root, **{"argument": "66", **request}))
    return {image.numpy().tobytes() for image in data.images}


def test_every_image_is_in_exactly_one_split(root: Path) -> None:
    parts = [pixels(split, root) for split in ("train", "val", "test")]
    assert [len(part) for part in parts] == [100, 20, 26]  # 50, 10 and 13 of 73 parts of 146
    assert len(set.union(*parts)) == 146
    rendered = signs(DataRequest("train", argument="66", seed=0))
    assert {image.numpy().tobytes() for image in rendered.images} <= set.union(*parts)


def test_the_split_is_the_same_for_every_seed(root: Path) -> None:
    assert pixels("test", root) == pixels("test", root, seed=5)


def test_frames_of_a_track_fall_on_both_sides_and_labels_stay_with_their_images(root: Path) -> None:
    sides = {}
    for split in ("train", "test"):
        data = study(DataRequest(split, root, argument="66"))
        real = [(i, *image[0, 0, :2].tolist()) for i, image in enumerate(data.images) if (image == image[0, 0]).all()]
        assert all(int(data.labels[i]) == row // 5 % 2 for i, _, row in real)
        sides[split] = {(part, row // 5) for _, part, row in real if part < 3}
    assert sides["train"] & sides["test"]


def test_it_says_what_it_is_made_of(root: Path) -> None:
    parts = [study(DataRequest(split, root, argument="66")) for split in ("train", "val", "test")]  # type: ignore[arg-type]
    assert [part.name for part in parts] == ["study-train", "study-val", "study-test"]
    total: dict[str, int] = {}
    for part in parts:
        assert sum(part.sources.values()) == len(part)
        for name, count in part.sources.items():
            total[name] = total.get(name, 0) + count
    assert total == {"gtsrb-train": 50, "gtsrb-val": 10, "gtsrb-test": 20, "signs-train": 66}


@pytest.mark.parametrize("argument", ["0", "many", "-3", "73000"])
def test_another_argument_is_refused(argument: str, root: Path) -> None:
    with pytest.raises(UsageError, match=f"study:{argument} is no number of rendered signs"):
        study(DataRequest("train", root, argument=argument))


@pytest.mark.real
@pytest.mark.skipif(not (REAL / "gtsrb32").is_dir(), reason="HARNESS_DATA holds no gtsrb32")
def test_the_real_split_has_the_study_s_numbers() -> None:
    assert [len(study(DataRequest(split, REAL))) for split in ("train", "val", "test")] == [50_000, 10_000, 13_000]  # type: ignore[arg-type]
