"""Corrupted images: from id, kind and severity alone, the same everywhere, stronger with severity, of any size."""

import hashlib
from itertools import pairwise

import numpy as np
import pytest

from harness.errors import PluginError, UnknownName, UsageError
from harness.inputs.corruptions.attack import eight_bits
from harness.inputs.corruptions.draws import Draws, normal_table
from harness.inputs.corruptions.fields import cloud, line, sampled, stretched, weighted
from harness.inputs.corruptions.kinds import FAMILIES, SEVERITIES, Kind, corrupted, load_kind
from harness.inputs.find import find_data
from harness.inputs.registry import Registry

KINDS = Registry("corruptions").names()


def picture(n=3, channels=3, high=32, wide=32):
    """Gradients with a bright square: uint8 [n,C,H,W]."""
    down, right = np.mgrid[:high, :wide]
    base = (down * 3 + right * 2) * 120 // (3 * high + 2 * wide) + 40
    base[high // 4 : high // 2, wide // 4 : wide // 2] = 220
    each = [np.roll(base, 3 * i, axis=1) for i in range(n * channels)]
    return np.stack(each).reshape(n, channels, high, wide).astype(np.uint8)


def test_there_are_kinds_in_every_family():
    families = [load_kind(name).family for name in KINDS]
    assert len(KINDS) >= 15
    assert min(families.count(family) for family in FAMILIES) >= 4


@pytest.mark.parametrize("name", KINDS)
def test_an_image_hangs_on_itself_its_id_kind_and_severity_alone(name):
    images = picture()
    together = corrupted(images, [7, 3, 5], name, 3)
    alone = corrupted(images[1:2], [3], name, 3)
    assert np.array_equal(together[1:2], alone)
    assert np.array_equal(corrupted(images, [7, 3, 5], name, 3), together)
    assert together.dtype == np.uint8
    assert (together != images).any()


@pytest.mark.parametrize("name", KINDS)
def test_severities_are_ever_farther_from_the_clean_image(name):
    images = eight_bits(find_data("signs").take(range(48))[0]).numpy()
    clean = images.astype(float)
    errors = [np.abs(corrupted(images, range(48), name, severity) - clean).mean() for severity in SEVERITIES]
    assert all(a < b for a, b in pairwise(errors)), errors


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 64, 64), (4, 16, 24)])
def test_any_size_and_number_of_channels(name, shape):
    images = picture(2, *shape)
    assert corrupted(images, [0, 1], name, 5).shape == images.shape
    assert corrupted(images[:0], [], name, 5).shape == (0, *shape)


def test_ids_and_kinds_draw_differently():
    gray = np.full((2, 3, 32, 32), 128, np.uint8)
    one, other = corrupted(gray, [1, 2], "gaussian-noise", 3)
    assert (one != other).mean() > 0.9
    fog, rain = (Draws([1], name).uniform(1000) for name in ("fog", "rain"))
    assert np.abs(np.corrcoef(fog[0], rain[0])[0, 1]) < 0.1


def test_bits_are_those_of_splitmix64():
    """The first outputs for state 1234567, of the algorithm's published test vectors."""
    draws = Draws([0], "x")
    draws._state[:] = np.uint64(1234567)
    assert draws.bits(3)[0].tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_draws_are_uniform_and_normal():
    draws = Draws(range(50), "test")
    uniform, normal = draws.uniform(2000), draws.normal(2000)
    assert 0 <= uniform.min() < 0.001
    assert 0.999 < uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 4 * (1 / 12 / uniform.size) ** 0.5
    assert abs(normal.mean()) < 4 / normal.size**0.5
    assert abs(normal.std() - 1) < 0.01
    assert np.array_equal(normal_table(), -normal_table()[::-1])


def test_the_table_of_quantiles_is_the_same_everywhere():
    content = (normal_table() * 1024).astype("<i4").tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == "51c4639c20d4b002"


def test_noise_of_gray_has_the_strength_that_is_said():
    kind = load_kind("gaussian-noise")
    gray = np.full((16, 3, 32, 32), 128, np.uint8)
    found = corrupted(gray, range(16), "gaussian-noise", 2).astype(float) - 128
    assert found.std() == pytest.approx(255 * kind.strength(2, 32), rel=0.02)
    salt = corrupted(gray, range(16), "impulse-noise", 4)
    assert (salt != 128).mean() == pytest.approx(load_kind("impulse-noise").strength(4, 32), abs=0.01)
    assert set(np.unique(salt)) == {0, 128, 255}


def test_closed_forms():
    images = picture(1)
    strength = load_kind("darkness").strength(3, 32)
    dark = np.floor(images.astype(np.float32) * np.float32(1 - strength) + np.float32(0.5))
    assert np.array_equal(corrupted(images, [0], "darkness", 3), dark)
    flat = np.full((1, 3, 32, 32), 77, np.uint8)
    for name in ("defocus-blur", "motion-blur", "zoom-blur", "glass-blur", "contrast", "pixelate", "elastic"):
        assert np.array_equal(corrupted(flat, [0], name, 5), flat), name


def test_a_blur_keeps_a_point_s_light_and_spreads_it_evenly():
    point = np.zeros((1, 1, 9, 9), np.float32)
    point[0, 0, 4, 4] = 100
    across = weighted(point, line(0, 1, 4))
    assert across.sum() == pytest.approx(100, rel=1e-6)
    assert np.flatnonzero(across[0, 0].sum(1)).tolist() == [4]
    assert np.allclose(across[0, 0], across[0, 0, :, ::-1])


def test_sampling_between_pixels_is_bilinear_and_clamped():
    images = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    at = np.array([[[0.5, -3, 9]]], np.float32)
    assert sampled(images, at, np.zeros_like(at))[0, 0, 0].tolist() == [2, 0, 12]
    assert np.array_equal(stretched(images, 4, 4), images)
    assert stretched(images, 7, 7)[0, 0, 1, 1] == 2.5


def test_clouds_are_between_0_and_1():
    found = cloud(Draws(range(4), "x"), 32, 48, cells=2, octaves=4)
    assert found.shape == (4, 1, 32, 48)
    assert 0 <= found.min() < 0.4 < 0.6 < found.max() <= 1


def test_strengths_between_measured_sides_are_interpolated():
    kind = Kind(family="noise", words="", corrupt=lambda images, draws, strength: images, strengths={
        32: (100, 200, 300, 400, 500), 64: (200, 300, 400, 500, 600)
    })  # fmt: skip
    assert [kind.strength(1, side) for side in (16, 32, 48, 64, 500)] == [0.1, 0.1, 0.15, 0.2, 0.2]


def test_what_cannot_be_corrupted_is_told():
    images = picture(1)
    with pytest.raises(UsageError, match="severity 6 is none of 1, 2, 3, 4, 5"):
        corrupted(images, [0], "fog", 6)
    with pytest.raises(UnknownName, match="foog"):
        corrupted(images, [0], "foog", 1)
    with pytest.raises(UsageError, match="images of 4 pixels are too small; the shorter side must have 8"):
        corrupted(images[:, :, :4], [0], "fog", 1)

    def fails(images, draws, strength):
        raise ZeroDivisionError("no")

    broken = Kind(family="noise", words="", corrupt=fails, strengths={32: (1, 2, 3, 4, 5)})
    with pytest.raises(PluginError, match="corruption 'mine' failed with ZeroDivisionError: no"):
        corrupted(images, [0], "mine", 1, broken)
