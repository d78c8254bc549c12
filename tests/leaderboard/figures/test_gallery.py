"""Galleries: what may be shown, which witnesses, and that label and confidence are the model's own."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from harness.errors import UsageError
from harness.evidence import witnesses
from harness.inputs.find import find_data
from harness.types import LoadedModel
from leaderboard.cli import show
from leaderboard.figures.gallery import may_be_shown, pictures, with_pictures
from leaderboard.render.html.page import render
from leaderboard.runs.collect import read_run
from leaderboard.tables.tables import make_tables
from model_zoo.datasets.classes import TRAFFIC_SIGNS

E8 = 8 / 255


class Linear(torch.nn.Module):
    """43 logits of the mean color, for a model that answers something."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(3, 43)
        torch.nn.init.normal_(self.layer.weight, std=3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer(images.mean((2, 3)))


class Found:
    """What `Subjects` would find."""

    def __init__(self, sha256: str) -> None:
        self.model = LoadedModel("standard", Linear().eval(), 43, (3, 32, 32), sha256)
        self.data = find_data("signs")

    def of(self, *_):
        return self.model, self.data


@pytest.fixture
def run(runs):
    data = find_data("signs")
    ids = [0, 1, 2, 14, 43]
    clean, _ = data.take(ids)
    noise = torch.rand(clean.shape, generator=torch.Generator().manual_seed(1)) - 0.5
    broken = (clean + 2 * E8 * noise).clamp(0, 1)
    table = pa.table(
        {
            "sample_id": ids, "attack": ["pgd-20"] * 5, "component": pa.nulls(5, pa.string()), "epsilon": [E8] * 5,
            "distance": [E8] * 5, "margin": [0.5] * 5, "adv_pred": [1, 2, 3, 2, 1],
            "image": witnesses.encode(broken, clean),
        },
        schema=witnesses.SCHEMA,
    )  # fmt: skip
    falls = {"pgd-20": dict.fromkeys(ids, "8/255")}
    return runs.write("standard", falls, n=90, classes=TRAFFIC_SIGNS, witnesses=table)


def test_only_data_whose_card_allows_it_are_shown() -> None:
    assert may_be_shown("signs")
    assert may_be_shown("folder")
    assert not may_be_shown("gtsrb-test")
    assert not may_be_shown("gtsrb")
    assert not may_be_shown("somebody's")


def test_pictures_are_the_images_and_the_models_own_answers(run) -> None:
    record = read_run(run)
    found = pictures(record, 3, Found(record.info.model.sha256))
    assert found[0].sample == 14, "stop read as a speed limit is the most dangerous"
    assert len({picture.label for picture in found}) == 3, "one a class"
    first = found[0]
    data = find_data("signs")
    with Image.open(io.BytesIO(first.clean)) as image:
        pixels = np.asarray(image).transpose(2, 0, 1) / 255
    assert np.abs(pixels - data.take([14])[0][0].numpy()).max() <= 0.5 / 255 + 1e-6
    with Image.open(io.BytesIO(first.perturbation)) as image:
        assert 100 < np.asarray(image).mean() < 155, "gray is no change"
    assert first.gain == pytest.approx(0.5 / E8)
    logits = Found("x").model.module(data.take([14])[0]).detach()
    assert first.clean_confidence == pytest.approx(float(torch.softmax(logits, 1).max()), abs=1e-5)
    assert first.clean_pred == int(logits.argmax())


def test_another_model_under_the_name_gives_no_confidences(run) -> None:
    found = pictures(read_run(run), 2, Found("sha256:other"))
    assert [picture.clean_confidence for picture in found] == [None, None]


def test_data_that_may_not_be_shown_give_a_reason_instead(runs, run) -> None:
    record = read_run(runs.write("standard", data="gtsrb-test"))
    shown = with_pictures(record, 6, Found("x"))
    assert shown.pictures == ()
    assert "gtsrb-test are not shown" in shown.no_pictures
    page = render(make_tables([shown]))
    assert "data:image" not in page
    assert "gtsrb-test are not shown" in page
    with pytest.raises(UsageError, match="pictures = true"):
        show(record.folder)


def test_the_page_shows_them_with_text_for_who_does_not_see(run) -> None:
    record = with_pictures(read_run(run), 2, Found("x"))
    page = render(make_tables([record]))
    assert page.count("data:image/png;base64,") == 6
    assert 'alt="stop, perturbed, read as speed limit 50"' in page


def test_show_draws_a_png(run, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("harness.trust.verify.subjects.Subjects", lambda *_: Found("x"))
    assert show(run, tmp_path / "x.png", 2) == 0
    with Image.open(tmp_path / "x.png") as image:
        assert image.width > 1000
    with pytest.raises(UsageError, match=r"\.png"):
        show(run, tmp_path / "x.gif")
