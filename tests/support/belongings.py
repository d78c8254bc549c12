"""What people have: small files of every kind, made when a row of ``docs/inputs.md`` names them.

All images are 8x8 in four classes, each near its class's own picture; the network names the nearest one.
"""

from __future__ import annotations

import re
import shutil
import struct
import warnings
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from repository import ROOT
from torch import nn

CLASSES, N, SIDE = 4, 80, 8
NET = '''
import torch
from torch import nn

def {name}():
    """The nearest of four pictures, which is linear."""
    means = 0.5 + 0.1 * (torch.rand(4, 192, generator=torch.Generator().manual_seed(0)) - 0.5)
    linear = nn.Linear(192, 4)
    with torch.no_grad():
        linear.weight.copy_(20 * means)
        linear.bias.copy_(-10 * means.square().sum(1))
    return {result}
'''
PLAIN = "nn.Sequential(nn.Flatten(), linear)"
WITH_FEATURES = """
class Both(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return {result}
"""
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 44779\n".format("0" * 64)
SUITE = """name = "mine"
version = 1
norm = "linf"
epsilons = ["2/255", "4/255"]

[[attack]]
id = "pgd-5"
tool = "torchattacks"
method = "pgd"
params = { steps = 5, step_size = "epsilon/4", random_start = true }
"""


def pictures() -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [n,8,8,3] and labels int64 [n]."""
    generator = torch.Generator().manual_seed(0)
    means = 0.5 + 0.1 * (torch.rand(CLASSES, 3 * SIDE * SIDE, generator=generator) - 0.5)
    labels = torch.arange(N) % CLASSES
    images = (means[labels] + 0.03 * torch.randn(N, 3 * SIDE * SIDE, generator=generator)).clamp(0, 1)
    pixels = (images.view(N, 3, SIDE, SIDE) * 255).round().byte().permute(0, 2, 3, 1)
    return pixels.numpy(), labels.numpy()


def network() -> nn.Module:
    """What ``net.py:net`` gives."""
    space: dict[str, Any] = {}
    exec(NET.format(name="net", result=PLAIN), space)
    module: nn.Module = space["net"]()
    return module.eval()


def text(content: str, encoding: str = "utf-8") -> Callable[[Path], object]:
    return lambda path: path.write_text(content, encoding=encoding)


def code(result: str, before: str = "", name: str = "net") -> Callable[[Path], object]:
    return text(before + NET.format(name=name, result=result))


def both(result: str) -> Callable[[Path], object]:
    return code("Both(" + PLAIN + ")", "from torch import nn\n" + WITH_FEATURES.format(result=result))


def state(wrap: Callable[[dict[str, Any]], Any]) -> Callable[[Path], object]:
    return lambda path: torch.save(wrap(network().state_dict()), path)


def averaged(state: dict[str, Any]) -> dict[str, Any]:
    """A training's checkpoint: the last weights, and their running mean."""
    return {"epoch": 9, "state_dict": state, "ema": {name: value * 0.99 for name, value in state.items()}}


def script(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls its own format deprecated
        torch.jit.trace(network(), torch.rand(2, 3, SIDE, SIDE)).save(str(path))


def export(dynamic: bool) -> Callable[[Path], object]:
    shapes = ({0: torch.export.Dim("n")},) if dynamic else None

    def save(path: Path) -> None:
        torch.export.save(torch.export.export(network(), (torch.rand(2, 3, 8, 8),), dynamic_shapes=shapes), str(path))

    return save


def trained(path: Path) -> None:
    """The output folder of a training: here the zoo's own."""
    path.mkdir()
    shutil.copy(ROOT / "model_zoo" / "cards" / "models" / "trades.toml", path / "card.toml")
    shutil.copy(ROOT / "model_zoo" / "weights" / "trades.safetensors", path)


def unfinished(path: Path) -> None:
    path.mkdir()
    (path / "resume.pt").write_bytes(b"")


def archive(images: Callable[[np.ndarray], np.ndarray], labels: Callable[[np.ndarray], np.ndarray]) -> Any:
    """An npz file of changed images and labels."""

    def save(path: Path) -> None:
        pixels, numbers = pictures()
        np.savez(path, images=images(pixels), labels=labels(numbers))

    return save


def same(array: np.ndarray) -> np.ndarray:
    return array


def array(part: int) -> Callable[[Path], object]:
    return lambda path: np.save(path, pictures()[part])


def folder(write: Callable[[np.ndarray, Path], object], name: Callable[[int], str] = str) -> Callable[[Path], object]:
    """An image folder, one sub-folder a class."""

    def save(path: Path) -> None:
        for k, (pixels, label) in enumerate(zip(*pictures(), strict=True)):
            (path / name(int(label))).mkdir(parents=True, exist_ok=True)
            write(pixels, path / name(int(label)) / f"{k:03d}.png")

    return save


def eight_bits(pixels: np.ndarray, path: Path) -> None:
    Image.fromarray(pixels).save(path)


def sixteen_bits(pixels: np.ndarray, path: Path) -> None:
    """A PNG file of 16-bit colors, which Pillow cannot write."""
    rows = b"".join(b"\0" + (row.astype(np.uint16) * 257).astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 16, 2, 0, 0, 0)
    blocks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    packed = (struct.pack(">I", len(c)) + kind + c + struct.pack(">I", zlib.crc32(kind + c)) for kind, c in blocks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


def twelve_bits(pixels: np.ndarray, path: Path) -> None:
    gray = pixels.mean(2).round().astype(np.uint16) * 16
    gray[0, 0] = 4095
    Image.fromarray(gray).save(path)


def mixed(path: Path) -> None:
    """Photographs of two sizes."""
    folder(eight_bits)(path)
    for file in sorted((path / "3").iterdir()):
        Image.open(file).resize((16, 16), Image.Resampling.NEAREST).save(file)


def table(path: Path) -> None:
    folder(eight_bits)(path.parent / "shots")
    lines = [f"shots/{k % CLASSES}/{k:03d}.png,{k % CLASSES}" for k in range(N)]
    path.write_text("\n".join(["Path,ClassId", *lines]))


def broken_table(path: Path) -> None:
    table(path)
    path.write_text(path.read_text().replace("004.png", "400.png"))


def kaggle(path: Path) -> None:
    """GTSRB as Kaggle has it, with rendered signs in place of photographs."""
    from harness.types import DataRequest
    from model_zoo.datasets.rendered import signs

    images, labels = signs(DataRequest("test")).take(range(43))
    lines = ["Width,Height,Roi.X1,Roi.Y1,Roi.X2,Roi.Y2,ClassId,Path"]
    (path / "Test").mkdir(parents=True)
    for k, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        pixels = (image * 255).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(path / "Test" / f"{k:05d}.png")
        lines.append(f"32,32,5,5,27,27,{label},Test/{k:05d}.png")
    (path / "Test.csv").write_text("\n".join(lines))


def empty(path: Path) -> None:
    (path / "0").mkdir(parents=True)


MAKE: dict[str, Callable[[Path], object]] = {
    # models
    "net.py": code(PLAIN),
    "itself.py": text(NET.format(name="net", result=PLAIN) + "\n\nnet = net()\n"),
    "tuple.py": both("self.network(images), images.flatten(1)"),
    "dict.py": both('{"logits": self.network(images), "features": images.flatten(1)}'),
    "twins.py": both("self.network(images), -self.network(images)"),
    "softmax.py": code("nn.Sequential(nn.Flatten(), linear, nn.Softmax(1))"),
    "half.py": code("nn.Sequential(nn.Flatten(), linear).half()"),
    "one.py": code("nn.Sequential(nn.Flatten(), nn.Linear(192, 1))"),
    "bytes.py": both("self.network(images / 255)"),
    "frozen.py": both("self.network(images.detach())"),
    "crash.py": text("def net():\n    raise FileNotFoundError('weights.bin')\n"),
    "weights.pt": state(dict),
    "parallel.pt": state(lambda tensors: {f"module.{name}": value for name, value in tensors.items()}),
    "checkpoint.pt": state(averaged),
    "whole.pt": lambda path: torch.save(network(), path),
    "script.pt": script,
    "program.pt2": export(True),
    "static.pt2": export(False),
    "pointer.pt": text(LFS),
    "page.pt": text("<!DOCTYPE html><html><title>Sign in</title></html>"),
    "empty.pt": text(""),
    "net.onnx": text("onnx"),
    "trained": trained,
    "unfinished": unfinished,
    # data
    "images.npz": archive(same, same),
    "pixels.npy": array(0),
    "numbers.npy": array(1),
    "floats.npz": archive(lambda pixels: (pixels / 255).astype(np.float32), same),
    "floats255.npz": archive(lambda pixels: pixels.astype(np.float32), same),
    "normalized.npz": archive(lambda pixels: (pixels / 127.5 - 1).astype(np.float32), same),
    "narrow.npz": archive(lambda pixels: pixels[:, :3].transpose(0, 3, 1, 2)[..., :3], same),
    "flat.npz": archive(lambda pixels: pixels.reshape(N, -1), same),
    "onehot.npz": archive(same, lambda numbers: np.eye(CLASSES, dtype=np.float32)[numbers]),
    "fromone.npz": archive(same, lambda numbers: numbers + 1),
    "shuffled.npz": archive(same, lambda numbers: (numbers + 1) % CLASSES),
    "none.npz": archive(lambda pixels: pixels[:0], lambda numbers: numbers[:0]),
    "list.csv": table,
    "gone.csv": broken_table,
    "photos": folder(eight_bits),
    "deep": folder(sixteen_bits),
    "scans": folder(twelve_bits),
    "mixed": mixed,
    "hollow": empty,
    "kaggle": kaggle,
    # suites
    "mine.toml": text(SUITE),
    "bom.toml": text(SUITE, "utf-8-sig"),
    "typo.toml": text(SUITE.replace("steps = 5", "step = 5")),
    "key.toml": text(SUITE.replace("epsilons", "epsilon")),
    "zero.toml": text(SUITE.replace("steps = 5", "steps = 0").replace("pgd-5", "pgd")),
    "strong.toml": text(SUITE.replace("pgd-5", "pgd-50")),
    "edited.toml": text(SUITE.replace('"mine"', '"pgd"')),
    "weak.toml": text(SUITE.replace(", random_start = true", "")),
    "tool.toml": text(SUITE.replace("torchattacks", "torchattack")),
}
"""How to make each, by the name that a row uses."""


def make(words: Sequence[str], where: Path) -> None:
    """Make everything that the words of a command line mention, in the folder `where`."""
    named = {part for word in words for part in re.split("[?&=:,]", word)}
    for name in sorted(named & set(MAKE)):
        MAKE[name](where / name)
