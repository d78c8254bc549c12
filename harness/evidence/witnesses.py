"""Witnesses on disk: the float32 bits of each image, stored against the clean image.

The exclusive-or of the bit patterns is split into its four byte planes before zstd sees it: sign and exponent bytes of
a perturbed pixel mostly equal the clean pixel's, so their planes are mostly zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from harness.evidence import parquet

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA_VERSION = 1
SCHEMA = pa.schema(
    [
        ("sample_id", pa.int64()),
        ("attack", pa.string()),
        ("component", pa.string()),
        ("epsilon", pa.float64()),
        ("distance", pa.float64()),
        ("margin", pa.float64()),
        ("adv_pred", pa.int64()),
        ("image", pa.binary()),
    ],
    metadata={"harness.witnesses": str(SCHEMA_VERSION)},
)
VOTED = ("votes", "hits", "candidate")
"""Further columns of a run whose model is asked often: votes cast on the witness, those that hit, and which candidate
of its sample it was, from 1."""
SCHEMA_VOTED = pa.schema([*SCHEMA, *((name, pa.int64()) for name in VOTED)], metadata=SCHEMA.metadata)


def encode(images: Tensor, clean: Tensor) -> list[bytes]:
    """The bits of `images` against those of `clean`, both float32 [n,C,H,W], one byte string each."""
    bits = _bits(images) ^ _bits(clean)
    planes = bits.view(np.uint8).reshape(*bits.shape, 4).transpose(0, 2, 1)
    return [row.tobytes() for row in planes]


def decode(blobs: Iterable[bytes], clean: Tensor) -> Tensor:
    """The images again, float32 like `clean` [n,C,H,W], bit for bit.

    Raises:
        ValueError: a byte string does not have the size of an image.
    """
    import torch  # here, so that reading results needs no torch

    base = _bits(clean)
    bits = np.empty_like(base)
    for row, blob in enumerate(blobs):
        if len(blob) != base.shape[1] * 4:
            raise ValueError(f"witness {row} has {len(blob)} bytes, an image has {base.shape[1] * 4}")
        planes = np.frombuffer(blob, np.uint8).reshape(4, -1)
        bits[row] = np.ascontiguousarray(planes.T).view(np.uint32).reshape(-1) ^ base[row]
    return torch.from_numpy(bits.view(np.float32)).reshape(clean.shape)


def _bits(images: Tensor) -> np.ndarray:
    flat = images.detach().cpu().float().contiguous().flatten(1).numpy()
    return flat.view(np.uint32)


def empty() -> pa.Table:
    """A table without witnesses."""
    return SCHEMA.empty_table()


def concat(tables: Sequence[pa.Table]) -> pa.Table:
    """All witnesses of one run in one table; tables without any have no say in its columns."""
    return pa.concat_tables([table for table in tables if len(table)] or [empty()])


def write(path: Path, witnesses: pa.Table) -> None:
    """Write witnesses as parquet (not atomically; see `harness.evidence.store`)."""
    parquet.write(path, witnesses, compression_level=9, use_dictionary=False)


def read(path: Path) -> pa.Table:
    """Read a witness file.

    Raises:
        BadRun: not parquet, torn, too large, or of another schema.
    """
    return parquet.read(path, (SCHEMA, SCHEMA_VOTED), "harness.witnesses", "witnesses")
