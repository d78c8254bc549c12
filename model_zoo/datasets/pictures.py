"""One image file as pixels in [0,1], whatever its mode and depth; what cannot be decoded rightly is refused by name."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from harness.errors import BadData

MAX_PIXELS = 1 << 26
"""Of one image; it is decoded only if its header claims no more."""
WHITE = 65535
"""Of 16-bit pixels, where nothing else is said."""
GRAY = ("1", "L", "LA", "I", "I;16", "I;16L", "I;16B")
SCALED = ("PPM", "JPEG2000")
"""Formats whose deep pixels Pillow scales to 16 bits itself."""
DEEP_COLORS = ("LA;16", "RGB;16", "RGBA;16", "RGBX;16", "CMYK;16")
"""Pixels of which Pillow keeps the upper 8 bits."""
ONE_FRAME = ("PNG", "GIF", "WEBP", "TIFF", "AVIF")
"""Formats of which a file with several frames is an animation or a stack of pages."""

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


def read_pixels(path: Path, channels: int = 3) -> Pixels:
    """The image in `path` as uint8 or uint16 [H,W,C] that reach to 255 or 65535, upright as its EXIF tag says.

    Gray images are repeated in all channels, and an alpha channel is left out, as torchvision does; `channels` is 1
    or 3.

    Raises:
        BadData: no image, too large, of several frames, of a depth or mode that has no one meaning in [0,1], or in
            color where one channel is asked for; names the file.
    """
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore")  # of odd metadata; what matters is refused
            return image_pixels(image, f"image {path}", channels, path)
    except BadData:
        raise
    except Exception as error:  # decoders raise whatever comes to hand
        raise BadData(f"image {path} cannot be read ({type(error).__name__}: {error}); remove or replace it") from None


def image_pixels(image: Image.Image, called: str, channels: int = 3, path: Path | None = None) -> Pixels:
    """As `read_pixels`, of an open image; `path` is where it came from, if from a file."""
    if image.width * image.height > MAX_PIXELS:
        raise BadData(f"{called} claims {image.width}x{image.height} pixels, more than the {MAX_PIXELS:,} one may have")
    if image.format in ONE_FRAME and (frames := getattr(image, "n_frames", 1)) > 1:
        raise BadData(f"{called} has {frames} frames; keep one of them")
    deep = _deep(image, called, path)
    if deep is None:
        upright = ImageOps.exif_transpose(image)
        return np.asarray(upright.convert("RGB")) if channels == 3 else np.asarray(_gray(upright, called))[..., None]
    if deep.shape[2] in (2, 4):
        deep = deep[..., :-1]
    if channels == 1 and deep.shape[2] == 3:
        raise _colored(called)
    return np.repeat(deep, channels, axis=2) if deep.shape[2] < channels else deep


def has_alpha(path: Path) -> bool:
    """Whether the file's image has an alpha channel or a transparent color; false for what is no image."""
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore")
            return image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    except Exception:  # said when it is read
        return False


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """A whole image [H,W,C] at another size: bilinear, without antialiasing, and rounded, as GTSRB's pixels were."""
    image = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]
    small = torch.nn.functional.interpolate(
        image, size=(height, width), mode="bilinear", align_corners=False, antialias=False
    )
    array = small[0].round().clamp(0, WHITE).permute(1, 2, 0).numpy().astype(pixels.dtype)
    return np.ascontiguousarray(array)


def say(line: str) -> None:
    """One line on standard error: how data are read that could be read in another way."""
    print(f"harness: {line}", file=sys.stderr)


def _gray(image: Image.Image, called: str) -> Image.Image:
    if image.mode not in GRAY:
        pixels = np.asarray(image.convert("RGB"))
        if (pixels != pixels[..., :1]).any():
            raise _colored(called)
        return image.convert("RGB").getchannel(0)
    return image.convert("L")


def _colored(called: str) -> BadData:
    return BadData(f"{called} is in color, and one channel is asked for; leave channels=1 out, or convert the images")


def _deep(image: Image.Image, called: str, path: Path | None) -> NDArray[np.uint16] | None:
    """Pixels uint16 [H,W,C] of an image with more than 8 bits a channel; None of all others."""
    if image.mode == "F":
        raise BadData(
            f"{called} has floating-point pixels (mode F), whose white nobody knows; convert it to 8 or 16 bits, or"
            " give the images as an npz file"
        )
    if image.mode == "I" and image.format not in ("PNG", *SCALED):
        raise BadData(
            f"{called} has 32-bit whole numbers (mode I), whose white nobody knows; convert it to 8 or 16 bits"
        )
    if image.format == "TIFF" and image.mode.startswith("I") and _tiff_tag(image, 262) == 0:
        raise BadData(f"{called} has deep pixels of which 0 is white; convert it to PNG")
    if image.format == "PNG" and path is not None and _png_depth(path) == 16:
        return _oriented(_png(path), image)  # Pillow gives 8 of the 16 bits of colors
    if image.mode in ("I", "I;16", "I;16L", "I;16B"):
        return _oriented(np.asarray(image).astype(np.uint16)[..., None], image)
    stored = " ".join(str(tile[3]) for tile in getattr(image, "tile", ()))
    if any(code in stored for code in DEEP_COLORS):
        raise BadData(f"{called} has 16 bits a color, of which Pillow reads 8; convert it to PNG")
    return None


def _tiff_tag(image: Any, tag: int) -> Any:
    return image.tag_v2.get(tag)


def _png_depth(path: Path) -> int:
    with path.open("rb") as stream:
        return (stream.read(25) + bytes(25))[24]


def _png(path: Path) -> NDArray[np.uint16]:
    from torchvision.io import ImageReadMode, decode_png

    # A damaged file ends torchvision's decoder and the process with it: Pillow reads it first, sums and pixels.
    with Image.open(path) as image:
        image.verify()
    with Image.open(path) as image:
        image.load()
    content = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
    pixels: NDArray[np.uint16] = decode_png(content, ImageReadMode.UNCHANGED).permute(1, 2, 0).numpy()
    return pixels


def _oriented(pixels: NDArray[np.uint16], image: Image.Image) -> NDArray[np.uint16]:
    """Turned and mirrored as the EXIF tag of `image` says."""
    tag: Any = image.getexif().get(0x0112, 1)
    turned = pixels.transpose(1, 0, 2) if tag in (5, 6, 7, 8) else pixels
    if tag in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    if tag in (3, 4, 7, 8):
        turned = turned[::-1]
    return np.ascontiguousarray(turned)
