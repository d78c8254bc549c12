"""Pixels of every mode and depth, upright; what has no one meaning in [0,1] is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from harness.errors import BadData
from harness.types import DataRequest
from model_zoo.datasets.folder import folder
from model_zoo.datasets.image_files import ImageFiles
from model_zoo.datasets.pictures import read_pixels

RAMP = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10


def taken(path: Path, **how: Any) -> torch.Tensor:
    return ImageFiles("x", [(str(path), 0)], ["a"], **how).take([0])[0][0]


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 77, (77, 77, 77)),
        ("LA", (77, 9), (77, 77, 77)),
        ("RGB", (10, 20, 30), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), (10, 20, 30)),
    ],
)
def test_modes_of_eight_bits(mode: str, color: Any, expected: tuple[int, ...], tmp_path: Path) -> None:
    Image.new(mode, (6, 4), color).save(tmp_path / "a.png")
    assert read_pixels(tmp_path / "a.png")[2, 3].tolist() == list(expected)
    assert taken(tmp_path / "a.png")[:, 2, 3].tolist() == pytest.approx([value / 255 for value in expected])


def test_palettes_and_printing_colors(tmp_path: Path) -> None:
    indexed = Image.new("P", (2, 1))
    indexed.putpalette([0, 0, 0, 200, 100, 50])
    indexed.putpixel((1, 0), 1)
    indexed.save(tmp_path / "p.png", transparency=1)
    assert read_pixels(tmp_path / "p.png").tolist() == [[[0, 0, 0], [200, 100, 50]]]
    Image.new("CMYK", (2, 1), (0, 255, 0, 0)).save(tmp_path / "c.tif")
    assert read_pixels(tmp_path / "c.tif")[0, 0].tolist() == [255, 0, 255]


def test_what_is_done_with_alpha_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGBA", (2, 2), (9, 8, 7, 0)).save(tmp_path / "a.png")
    files = ImageFiles("x", [(str(tmp_path / "a.png"), 0)] * 3, ["a"])
    files.take([0, 1])
    files.take([2])
    assert capsys.readouterr().err == "harness: x: alpha channels are left out; what they hide is shown\n"


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits_of_gray_keep_all_of_them(ending: str, tmp_path: Path) -> None:
    deep = (np.arange(24).reshape(4, 6) * 2849).astype(np.uint16)  # up to 65527
    Image.fromarray(deep).save(tmp_path / f"a.{ending}")
    image = taken(tmp_path / f"a.{ending}")
    assert image.shape == (3, 4, 6)
    for channel in image:
        np.testing.assert_allclose(channel.numpy(), deep / 65535, rtol=1e-6)
    assert taken(tmp_path / f"a.{ending}", channels=1).shape == (1, 4, 6)


def test_sixteen_bits_of_color_keep_all_of_them(tmp_path: Path) -> None:
    from torchvision.io import ImageReadMode, decode_png  # noqa: F401  # what reads them

    deep = np.random.default_rng(0).integers(0, 65536, (4, 6, 3)).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(png(deep))
    np.testing.assert_allclose(taken(tmp_path / "a.png").permute(1, 2, 0).numpy(), deep / 65535, rtol=1e-6)


def png(deep: np.ndarray) -> bytes:
    """A PNG file of 16-bit colors, which Pillow cannot write."""
    import struct
    import zlib

    height, width, _ = deep.shape

    def block(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + block(b"IHDR", header) + block(b"IDAT", zlib.compress(rows)) + block(b"IEND", b"")


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_fewer_bits_in_sixteen_are_asked_for(bits: int, tmp_path: Path) -> None:
    deep = np.linspace(0, 2**bits - 1, 24).round().astype(np.uint16).reshape(4, 6)
    Image.fromarray(deep).save(tmp_path / "a.png")
    with pytest.raises(BadData, match=rf"brightest pixel is {2**bits - 1}.*\?bits={bits} behind"):
        taken(tmp_path / "a.png")
    np.testing.assert_allclose(taken(tmp_path / "a.png", bits=bits)[0].numpy(), deep / (2**bits - 1), rtol=1e-6)
    with pytest.raises(BadData, match=f"a pixel of {2**bits - 1}, above the white of 511"):
        taken(tmp_path / "a.png", bits=9)
    assert float(taken(tmp_path / "a.png", bits=16).max()) == pytest.approx((2**bits - 1) / 65535)


def test_deep_pgm_and_ppm_are_scaled_by_their_white(tmp_path: Path) -> None:
    values = np.arange(24) * 44  # up to 1012
    (tmp_path / "a.pgm").write_bytes(b"P5 6 4 1023\n" + values.astype(">u2").tobytes())
    np.testing.assert_allclose(taken(tmp_path / "a.pgm")[0].flatten().numpy(), values / 1023, atol=1e-5)
    (tmp_path / "a.ppm").write_bytes(b"P6 4 2 1023\n" + values.astype(">u2").tobytes())
    np.testing.assert_allclose(
        taken(tmp_path / "a.ppm").permute(1, 2, 0).flatten().numpy(), values / 1023, atol=0.6 / 255
    )


def test_pixels_without_a_white_are_refused_by_name(tmp_path: Path) -> None:
    Image.fromarray(np.full((2, 2), 0.5, np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(BadData, match=r"f\.tif has floating-point pixels \(mode F\)"):
        read_pixels(tmp_path / "f.tif")
    Image.fromarray(np.full((2, 2), 70_000, np.int32)).save(tmp_path / "i.tif")
    with pytest.raises(BadData, match=r"i\.tif has 32-bit whole numbers \(mode I\)"):
        read_pixels(tmp_path / "i.tif")


def test_an_animation_is_refused(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (2, 2), (k, 0, 0)) for k in (0, 99)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    with pytest.raises(BadData, match="has 2 frames; keep one"):
        read_pixels(tmp_path / "a.png")


@pytest.mark.parametrize("tag", range(1, 9))
@pytest.mark.parametrize("deep", [False, True])
def test_images_are_turned_upright(tag: int, deep: bool, tmp_path: Path) -> None:
    pixels = RAMP.astype(np.uint16) * 257 if deep else RAMP
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = tag
    image.save(tmp_path / "a.png", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.png")))
    assert (expected.shape == (6, 4)) == (tag >= 5)
    assert (read_pixels(tmp_path / "a.png", channels=1)[..., 0] == expected).all()
    assert (read_pixels(tmp_path / "a.png")[..., 2] == expected).all()


def test_one_channel_is_for_gray_images(tmp_path: Path) -> None:
    for k, name in enumerate(("a", "b")):
        (tmp_path / name).mkdir()
        Image.new("RGB", (3, 2), (40, 40, 40 + k)).save(tmp_path / name / "a.png")
    data = folder(DataRequest("test", argument=f"{tmp_path}?channels=1"))
    images, labels = data.take([0])  # gray in three equal channels
    assert (tuple(images.shape), labels.tolist()) == ((1, 1, 2, 3), [0])
    assert images.unique().tolist() == pytest.approx([40 / 255])
    with pytest.raises(BadData, match=r"b/a\.png is in color, and one channel is asked for"):
        data.take([1])


def test_images_of_several_sizes_are_resized_where_it_is_asked(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    stripes = np.zeros((8, 12, 3), np.uint8)
    stripes[::2] = 200
    Image.fromarray(stripes).save(tmp_path / "a" / "1.png")
    Image.new("RGB", (5, 5), (7, 7, 7)).save(tmp_path / "a" / "2.png")
    images, _ = folder(DataRequest("test", argument=f"{tmp_path}?size=6x4")).take([0, 1])
    assert images.shape == (2, 3, 4, 6)
    assert (images[0] * 255).unique().tolist() == pytest.approx([100])  # bilinear, without antialiasing
    assert (images[1] * 255).unique().tolist() == pytest.approx([7])
    with pytest.raises(BadData, match=r"2\.png is 5x5, the first one of the folder 12x8.*\?size=12x8"):
        folder(DataRequest("test", argument=str(tmp_path))).take([0, 1])
