"""P28: a model is not measured on what it was trained on, by name or by pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from toys import SmallNet, Toy, labeled, uniform_images

from harness.errors import BadData, ModelRefused
from harness.inputs.seen import TrainedOn, hashes_of, hashes_of_set, read_seen, write_seen
from harness.trust.doctor import examine_model, refuse
from harness.trust.doctor.training_images import training_images
from harness.types import LoadedModel, ModelCard

SET = {"n": 50, "sha256": "0" * 64}
CARD = ModelCard("toy", "none", "small", 5, (3, 8, 8))


class Drawn(Toy):
    """A set that says what its images were drawn from."""

    sources: dict[str, int]


def data(name: str = "toy", n: int = 200, seed: int = 1, **sources: int) -> Drawn:
    made = Drawn(uniform_images(n, seed, eight_bit=True), torch.zeros(n, dtype=torch.int64), list("abcde"), name)
    made.sources = {key.replace("_", "-"): count for key, count in sources.items()}
    return made


def with_list(folder: Path, *seen: Toy) -> ModelCard:
    table = write_seen([hashes_of_set(part) for part in seen], folder / "seen.npy")
    return replace(CARD, data={"seen": table}, path=folder / "card.toml")


@pytest.mark.parametrize(
    ("tables", "measured", "words"),
    [
        ({"signs-train": SET}, data("signs-train"), "it was trained on signs-train"),
        (
            {"study-train": {**SET, "sources": {"gtsrb-test": 8696}}},
            data("gtsrb-test"),
            "8,696 images of gtsrb-test are among those it was trained on",
        ),
        (
            {"gtsrb-train": SET},
            data("study-test", gtsrb_train=6278, gtsrb_test=2217),
            "6,278 images of study-test are of gtsrb-train, which it was trained on",
        ),
        (
            {"gtsrb-train": SET, "start": {"study-train": {**SET, "sources": {"gtsrb-test": 5}}}},
            data("gtsrb-test"),
            "5 images of gtsrb-test are among those",
        ),
        ({"study-train": {**SET, "sources": {"gtsrb-train": 9}}}, data("study-test", gtsrb_train=3), None),
        ({"gtsrb-train": SET, "signs-train": SET, "sets": ["gtsrb"]}, data("gtsrb-test"), None),
        ({"gtsrb-val": SET}, data("gtsrb-val"), None),
        ({}, data(), None),
    ],
)
def test_names_tell_of_overlaps(tables: dict[str, object], measured: Drawn, words: str | None) -> None:
    card = replace(CARD, data=tables)
    found = training_images(card, measured)
    assert TrainedOn.of(card).overlap(measured) == (found[0].message.split(": ")[1].split(";")[0] if found else None)
    if words is None:
        assert found == []
    else:
        assert [(finding.check, finding.level) for finding in found] == [("P28", "refuse")]
        assert words in found[0].message


@pytest.mark.parametrize(("known", "level"), [(0, None), (1, "warn"), (2, "refuse"), (200, "refuse")])
def test_pixels_tell_of_overlaps(known: int, level: str | None, tmp_path: Path) -> None:
    """One per cent of 200 images are two."""
    measured, others = data(seed=1), data(seed=2)
    others.images[:known] = measured.images[:known]
    found = training_images(with_list(tmp_path, others), measured)
    assert [finding.level for finding in found] == ([level] if level else [])
    if found:
        assert f"{known} of 200 images of toy ({known / 2:.1f} %)" in found[0].message
        assert found[0].figure == known / 200


def test_a_picture_is_known_by_its_8_bits_and_its_shape() -> None:
    images = uniform_images(4, 0, eight_bit=True)
    assert np.array_equal(hashes_of(images), hashes_of(images + 0.4 / 255 * torch.rand_like(images) - 0.2 / 255))
    moved = images.clone()
    moved[1, 0, 0, 0] += 1 / 255 if moved[1, 0, 0, 0] < 0.5 else -1 / 255
    assert (hashes_of(moved) != hashes_of(images)).tolist() == [False, True, False, False]
    assert (hashes_of(images.reshape(4, 3, 4, 16)) != hashes_of(images)).all()


def test_the_list_holds_each_image_once_and_only_the_card_s_own_counts(tmp_path: Path) -> None:
    card = with_list(tmp_path, data(n=30), data(n=30), data(n=10, seed=2))
    assert card.data["seen"]["n"] == 40
    assert len(read_seen(card)) == 40  # type: ignore[arg-type]
    np.save(tmp_path / "seen.npy", np.arange(3, dtype=np.uint64))
    with pytest.raises(BadData, match="sha256 differs"):
        read_seen(card)
    assert [finding.level for finding in training_images(card, data())] == ["warn"]
    (tmp_path / "seen.npy").unlink()
    assert training_images(card, data()) == []


def test_the_doctor_refuses_and_force_goes_on(tmp_path: Path) -> None:
    measured = labeled(SmallNet(), 128, 1)
    report = examine_model(LoadedModel("mine", SmallNet().eval(), 5, card=with_list(tmp_path, measured)), measured)
    assert [(finding.check, finding.level) for finding in report.refusals] == [("P28", "refuse")]
    with pytest.raises(ModelRefused, match=r"'mine' refused by P28: training images: 128 of 128 images of toy"):
        refuse(report, "mine")
    refuse(report, "mine", force=True)
    other = examine_model(LoadedModel("mine", SmallNet().eval(), 5, card=with_list(tmp_path, measured)), data(seed=7))
    assert "P28" not in {finding.check for finding in other.findings}
    assert "P28" in other.looked
