"""P28: is the model measured on images that it was trained on?"""

from __future__ import annotations

import numpy as np

from harness.errors import BadData
from harness.evidence.findings import found, percent
from harness.inputs.samples import make_slice
from harness.inputs.seen import TrainedOn, hashes_of, read_seen
from harness.types import Dataset, Finding, ModelCard

LOOKED_AT = 4096
"""Images of the fixed order whose pixels are looked for: one in a thousand is found with a probability of 98 %."""
REFUSED = 0.01
"""Share of them from which on a run is refused: a few doubles are in many data sets."""
_CHUNK = 512


def training_images(card: ModelCard | None, data: Dataset) -> list[Finding]:
    """Overlaps by name, as the card tells them, and by pixels, where a list of training images lies beside the card."""
    if card is None:
        return []
    if told := TrainedOn.of(card).overlap(data):
        return [found("P28", "refuse", f"{told}; measure it on images that it has not seen")]
    try:
        seen = read_seen(card)
    except BadData as error:
        return [found("P28", "warn", str(error))]
    if seen is None:
        return []
    part = make_slice(data, min(LOOKED_AT, len(data)), _CHUNK)
    known = sum(int(np.isin(hashes_of(part.take(index)[0]), seen).sum()) for index in range(part.chunks))
    n = len(part.indices)
    if not known:
        return []
    message = (
        f"{known} of {n} images of {data.name} ({percent(known / n)}) are, pixel by pixel, among its training images"
    )
    return [found("P28", "refuse" if known / n >= REFUSED else "warn", message, known / n, REFUSED)]
