"""What a model was trained on: the names of the sets in its card, and short hashes of their images beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from harness.base.arrays import read_array
from harness.errors import BadData
from harness.types import Dataset, ModelCard

Hashes = NDArray[np.uint64]
_BATCH = 512


def hashes_of(images: Tensor) -> Hashes:
    """64 bits of a hash of each image [n,C,H,W] in [0,1], at 8 bits a channel: as precise as most files are."""
    pixels = (images * 255).round_().byte().contiguous().numpy()
    shape = repr(pixels.shape[1:]).encode()
    digests = [hashlib.blake2b(image.tobytes(), digest_size=8, key=shape).digest() for image in pixels]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def hashes_of_set(data: Dataset) -> Hashes:
    """Those of all images of `data`, in its order; one pass."""
    starts = range(0, len(data), _BATCH)
    parts = [hashes_of(data.take(range(start, min(start + _BATCH, len(data))))[0]) for start in starts]
    return np.concatenate([np.empty(0, np.uint64), *parts])


def write_seen(hashes: Iterable[Hashes], path: Path) -> dict[str, Any]:
    """Write the hashes of training images, each once.

    Returns:
        The card's table ``data.seen``: file, sha256, and the number of different images.
    """
    merged = np.unique(np.concatenate([np.empty(0, np.uint64), *hashes]))
    np.save(path, merged, allow_pickle=False)
    return {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "n": len(merged)}


def read_seen(card: ModelCard) -> Hashes | None:
    """The hashes that lie beside `card`; None if it names none, or the file is not there.

    Raises:
        BadData: the file is another than the card's.
    """
    table = card.data.get("seen")
    if not isinstance(table, Mapping) or card.path is None:
        return None
    path = card.path.parent / Path(str(table.get("file"))).name
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(content).hexdigest() != table.get("sha256"):
        raise BadData(f"{path} is not the list of training images that card {card.path} names: its sha256 differs")
    hashes = read_array(path)
    if hashes.dtype != np.uint64 or hashes.ndim != 1:
        raise BadData(f"{path} holds {hashes.dtype} {hashes.shape}; expected the hashes of training images, uint64 [n]")
    return hashes


def sets_of(card: ModelCard) -> dict[str, Mapping[str, Any]]:
    """The sets of a training by name, as its card describes them; those of the weights it started from come first."""
    start = card.data.get("start")
    tables = {**(start if isinstance(start, Mapping) else {}), **card.data}
    return {
        name: table
        for name, table in tables.items()
        if isinstance(table, Mapping) and {"n", "sha256"} <= set(table) and name != "seen"
    }


@dataclass(frozen=True)
class TrainedOn:
    """The sets behind a model's weights, those of the weights it started from included."""

    whole: frozenset[str]
    """Sets that were trained on as they are."""
    drawn: Mapping[str, int]
    """Sets that some of those were drawn from, to the number of images."""

    @classmethod
    def of(cls, card: ModelCard) -> TrainedOn:
        """What `card` says; validation sets, whose names end in ``-val``, are not trained on."""
        trained = {name: table for name, table in sets_of(card).items() if not name.endswith("-val")}
        drawn: dict[str, int] = {}
        for table in trained.values():
            for name, count in table.get("sources", {}).items():
                drawn[name] = drawn.get(name, 0) + int(count)
        return cls(frozenset(trained), drawn)

    def overlap(self, data: Dataset) -> str | None:
        """How `data` overlaps with them by name, in words; None if names do not tell."""
        if data.name in self.whole:
            return f"it was trained on {data.name}"
        if data.name in self.drawn:
            return f"{self.drawn[data.name]:,} images of {data.name} are among those it was trained on"
        shared = [name for name in sources_of(data) if name in self.whole]
        if shared:
            return f"{sources_of(data)[shared[0]]:,} images of {data.name} are of {shared[0]}, which it was trained on"
        return None


def sources_of(data: Dataset) -> Mapping[str, int]:
    """The sets that the images of `data` were drawn from, to their numbers, where `data` tells."""
    sources: Mapping[str, int] = getattr(data, "sources", {})
    return sources
