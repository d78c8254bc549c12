"""The rendered signs: reproducible image by image, and the frozen split is what the code says it is."""

import hashlib
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from harness.errors import BadData, UsageError
from model_zoo.datasets.classes import TRAFFIC_SIGNS
from model_zoo.datasets.signs import freeze
from model_zoo.datasets.signs.canvas import FACE, Canvas, Material
from model_zoo.datasets.signs.faces import VARIANTS, face
from model_zoo.datasets.signs.render import image_rng, render, render_set

CLASSES = len(TRAFFIC_SIGNS)


def test_there_are_43_distinct_names() -> None:
    assert CLASSES == 43
    assert len(set(TRAFFIC_SIGNS)) == 43
    assert (TRAFFIC_SIGNS[0], TRAFFIC_SIGNS[14], TRAFFIC_SIGNS[42]) == (
        "speed limit 20",
        "stop",
        "end of no overtaking for trucks",
    )


def test_same_seed_same_images_other_seed_others() -> None:
    labels = np.arange(12)
    first = render_set(labels, seed=5, split="train")
    assert np.array_equal(first, render_set(labels, seed=5, split="train"))
    assert not np.array_equal(first, render_set(labels, seed=6, split="train"))


def test_an_image_depends_on_its_own_place_only() -> None:
    whole = render_set([3, 17, 40, 25, 8], seed=1, split="val")
    assert np.array_equal(whole[:2], render_set([3, 17], seed=1, split="val"))
    other_neighbors = render_set([9, 9, 40, 9], seed=1, split="val")
    assert np.array_equal(whole[2], other_neighbors[2])
    assert np.array_equal(whole[4], render(8, image_rng(1, "val", 4)))


def test_places_seeds_and_splits_share_no_generator() -> None:
    draws = {
        (seed, split, index): int(image_rng(seed, split, index).integers(2**62))
        for seed in (0, 1)
        for split in ("train", "val", "test")
        for index in range(20)
    }
    assert len(set(draws.values())) == len(draws)


def test_splits_share_no_image() -> None:
    labels = [int(c) for c in range(CLASSES)]
    sets = [render_set(labels, seed=0, split=split) for split in ("train", "val", "test")]
    digests = {image.tobytes() for images in sets for image in images}
    assert len(digests) == 3 * CLASSES


def test_type_shape_and_range() -> None:
    images = render_set(np.arange(86, dtype=np.uint8) % CLASSES, seed=3, split="train")
    assert images.dtype == np.uint8
    assert images.shape == (86, 32, 32, 3)
    means = images.mean(axis=(1, 2, 3))
    assert means.min() < 50, "no dark image among 86"
    assert means.max() > 130, "no bright image among 86"
    assert (images.max(axis=(1, 2, 3)) > images.min(axis=(1, 2, 3))).all(), "an image without any contrast"


def test_no_labels_give_no_images() -> None:
    assert render_set([], seed=0, split="train").shape == (0, 32, 32, 3)


@pytest.mark.parametrize("label", [-1, 43])
def test_unknown_label_is_refused(label: int) -> None:
    with pytest.raises(UsageError, match=f"label {label}"):
        render_set([label], seed=0, split="train")


@pytest.mark.parametrize("variant", range(VARIANTS))
def test_every_face_is_a_full_set_of_shares_and_differs_from_all_others(variant: int) -> None:
    faces = [face(label, variant) for label in range(CLASSES)]
    for masks in faces:
        np.testing.assert_allclose(masks.sum(axis=-1), 1.0, atol=1e-6)
        corner_and_middle = masks[0, 0, Material.NOTHING], masks[FACE // 2, FACE // 2, Material.NOTHING]
        assert corner_and_middle == (1.0, 0.0)
    gaps = [np.abs(faces[a] - faces[b]).sum() for a in range(CLASSES) for b in range(a)]
    # The closest pair differs in one digit; a share of 20 is 10 of the 6,400 pixels in another material.
    assert min(gaps) > 20


def test_mirrored_signs_mirror_each_other() -> None:
    for right, left in ((33, 34), (36, 37), (38, 39), (20, 19)):
        np.testing.assert_allclose(face(right), face(left)[:, ::-1], atol=0.25)
        assert np.abs(face(right) - face(left)[:, ::-1]).mean() < 0.005
        assert np.abs(face(right) - face(left)).mean() > 0.005


def test_canvas_areas_match_geometry() -> None:
    canvas = Canvas()
    canvas.disc((0, 0), 0.5, Material.RED)
    canvas.box(-0.2, -0.1, 0.2, 0.1, Material.WHITE)
    pixel = (2 * 1.06 / FACE) ** 2
    areas = canvas.masks().sum(axis=(0, 1)) * pixel
    assert areas[Material.WHITE] == pytest.approx(0.08, rel=0.05)
    assert areas[Material.RED] == pytest.approx(np.pi * 0.25 - 0.08, rel=0.03)


def test_faces_are_shared_and_cannot_be_written() -> None:
    assert face(7, 1) is face(7, 1)
    with pytest.raises(ValueError, match="read-only"):
        face(7, 1)[0, 0, 0] = 1.0


def test_frozen_split_is_whole_and_balanced() -> None:
    images, labels = freeze.load_test()
    assert (images.shape, images.dtype) == ((30 * CLASSES, 32, 32, 3), np.uint8)
    assert (labels.shape, labels.dtype) == ((30 * CLASSES,), np.uint8)
    assert np.array_equal(np.bincount(labels), np.full(CLASSES, 30))
    for n in (1, 43, 100, 500):
        counts = np.bincount(labels[:n], minlength=CLASSES)
        assert counts.max() - counts.min() <= 1
    assert len({image.tobytes() for image in images}) == len(images)
    assert hashlib.sha256(freeze.TEST_FILE.read_bytes()).hexdigest() == freeze.TEST_SHA256


def test_rendering_again_gives_the_frozen_images() -> None:
    images, labels = freeze.load_test()
    again = render_set(labels[:129], freeze.TEST_SEED, "test")
    gap = np.abs(again.astype(int) - images[:129].astype(int))
    here = {package: version(package) for package in freeze.FROZEN_WITH}
    # Another processor may round a sum of products otherwise; another Pillow may draw or compress a little otherwise.
    assert (gap > 2).mean() < (1e-3 if here == freeze.FROZEN_WITH else 0.05)


def test_freezing_twice_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freeze, "PER_CLASS", 1)
    first, second = freeze.freeze(tmp_path / "a.npz"), freeze.freeze(tmp_path / "b.npz")
    assert first == second
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_damaged_or_missing_file_is_refused(tmp_path: Path) -> None:
    content = bytearray(freeze.TEST_FILE.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = tmp_path / "test.npz"
    damaged.write_bytes(content)
    with pytest.raises(BadData, match="damaged"):
        freeze.load_test(damaged)
    with pytest.raises(BadData, match="cannot read"):
        freeze.load_test(tmp_path / "absent.npz")
