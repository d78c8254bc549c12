"""Fewer witnesses: one for each sample, where one for each sample and attack would be too many."""

from __future__ import annotations

import pyarrow as pa

from harness.evidence import witnesses
from harness.evidence.store import RunStore
from harness.inputs.samples import Slice


def thin_witnesses(store: RunStore, part: Slice) -> None:
    """Keep for every sample the witness at its smallest epsilon, and of those the nearest; chunk by chunk."""
    for index in range(part.chunks):
        ending = f"-{index:05d}.parquet"
        names = sorted(path.name for path in (store.folder / "witnesses").glob(f"*{ending}"))
        final = f"worst{ending}"
        if not names or names == [final]:
            continue
        table = pa.concat_tables([witnesses.read(store.folder / "witnesses" / name) for name in names])
        order = table.sort_by([("sample_id", "ascending"), ("epsilon", "ascending"), ("distance", "ascending")])
        samples = order["sample_id"].to_pylist()
        first = [row for row, sample in enumerate(samples) if row == 0 or samples[row - 1] != sample]
        store.write_witnesses(final, order.take(first), names)
