"""Data that are no function of their index, without samples, or with labels from 1: one line, before any attack."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from toys import SmallNet, Toy, uniform_images

import harness
from harness.errors import BadData, ModelRefused
from harness.inputs.objects import as_data
from harness.inputs.samples import checked, make_slice
from harness.trust.doctor import examine_data, examine_model
from harness.types import LoadedModel

IMAGES = uniform_images(40, 0)
LABELS = torch.arange(40) % 5
MODEL = LoadedModel("m", SmallNet(5), 5, (3, 8, 8))


class Flipping(Dataset):
    """Flips at random, like the transforms of a training."""

    def __len__(self):
        return len(IMAGES)

    def __getitem__(self, index):
        image = IMAGES[index]
        return (image.flip(2) if torch.rand(()) < 0.5 else image), int(LABELS[index])


def test_random_transforms_left_in_a_loader_are_refused(tmp_path):
    loader = DataLoader(Flipping(), batch_size=8)
    with pytest.raises(BadData, match=r"gives other images or labels for the same samples.*random crops, flips"):
        harness.evaluate(SmallNet(5), "fgsm", loader, results=tmp_path, progress=False, force=True)
    assert list(tmp_path.iterdir()) == []


def test_one_changed_pixel_or_label_of_a_chunk_is_seen():
    data = Toy(IMAGES.clone(), LABELS.clone(), list("abcde"))
    part = make_slice(data, None, 16)
    part.digest()
    part.take(2)
    data.images[int(part.ids(2)[3]), 0, 0, 0] += 1e-6
    part.take(1)
    with pytest.raises(BadData, match="for the same samples"):
        part.take(2)
    part = make_slice(data, None, 16)
    part.take(0)
    data.labels[int(part.ids(0)[0])] += 1
    with pytest.raises(BadData, match="for the same samples"):
        part.take(0)


@pytest.mark.parametrize(
    "data",
    [
        (IMAGES[:0], LABELS[:0]),
        Toy(IMAGES[:0], LABELS[:0], list("abcde")),
        DataLoader(torch.utils.data.TensorDataset(IMAGES[:0], LABELS[:0])),
        [],
    ],
    ids=["tensors", "data set", "loader", "batches"],
)
def test_no_samples_is_one_line(data, tmp_path):
    with pytest.raises(BadData, match="has no samples"):
        harness.evaluate(SmallNet(5), "fgsm", data, results=tmp_path, progress=False)


def test_no_rows_are_no_error():
    images, labels = checked(Toy(IMAGES, LABELS, list("abcde")), [])
    assert (len(images), labels.dtype) == (0, torch.int64)


def test_labels_from_one_are_called_so(tmp_path):
    with pytest.raises(ModelRefused, match="labels seem to count from 1: subtract 1"):
        harness.evaluate(SmallNet(5), "fgsm", (IMAGES, LABELS + 1), results=tmp_path, progress=False)
    (one,) = examine_data(MODEL, Toy(IMAGES, LABELS + 1, list("abcde"))).findings
    assert (one.check, one.level) == ("P1", "refuse")
    assert "labels from 1 to 5, but 5 classes; do its labels count from 1" in one.message
    (other,) = examine_data(MODEL, Toy(IMAGES, LABELS, list("abcdef"))).findings
    assert "choose a model trained for this data set" in other.message


@pytest.mark.parametrize(
    "labels", [np.eye(5)[LABELS], LABELS.float(), LABELS[:, None], LABELS.to(torch.uint8)], ids=lambda x: str(x.dtype)
)
def test_odd_labels_are_read(labels):
    assert torch.equal(as_data((IMAGES, labels)).take(range(40))[1], LABELS)


@pytest.mark.parametrize("labels", [LABELS.float(), LABELS[:, None]])
def test_a_data_set_of_odd_labels_is_refused(labels):
    with pytest.raises(BadData, match=r"gave labels .*; expected int64 \[40\]"):
        checked(Toy(IMAGES, labels, list("abcde")), range(40))


@pytest.mark.parametrize(("channels", "takes", "told"), [(3, 1, "?channels=1 behind"), (1, 3, "repeat the channel")])
def test_models_of_other_channels_are_told_how_to_read_gray_images(channels, takes, told):
    data = Toy(IMAGES[:, :channels].clone(), LABELS, list("abcde"))
    net = nn.Sequential(nn.Conv2d(takes, 5, 8), nn.Flatten())
    (one,) = examine_data(LoadedModel("m", net, 5, (takes, 8, 8)), data).findings
    assert (one.check, one.level) == ("P15", "refuse")
    assert told in one.message
    (one,) = examine_model(LoadedModel("m", net, 5, None), data).findings  # nobody said which images it takes
    assert (one.check, one.level) == ("P0", "refuse")
    assert told in one.message
    smaller = nn.Sequential(nn.Flatten(), nn.Linear(7, 5))  # channels are not what is wrong
    (one,) = examine_model(LoadedModel("m", smaller, 5, None), data).findings
    assert one.check == "P0"
    assert "channel" not in one.message


def test_images_without_a_pixel_are_refused():
    with pytest.raises(BadData, match=r"gave images of \(3, 0, 8\): there is no pixel in them"):
        checked(Toy(torch.rand(40, 3, 0, 8), LABELS, list("abcde")), range(40))
