"""Pictures of what broke: clean image, magnified perturbation and adversarial image, from a run's witnesses.

Only data sets whose card (``cards/datasets/NAME.toml``) says ``pictures = true`` are shown: images may be free to
measure with and not free to publish, and those of a card that says nothing are not shown.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from harness.errors import BadRun, HarnessError
from harness.evidence.store import RunStore
from harness.inputs.corruptions.names import parted_corruptions
from harness.inputs.registry import Registry
from leaderboard.details import Picture
from leaderboard.runs.record import Record
from leaderboard.tables.danger import danger, ranked

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from harness.trust.verify.subjects import Subjects
    from harness.types import LoadedModel

SIDE = 96
"""Pixels of a picture's longer side at most; larger images are made smaller."""


def with_pictures(record: Record, count: int, subjects: Subjects) -> Record:
    """The record with up to `count` pictures, or with the reason why it has none; it never fails.

    Args:
        record: A run that lies on disk; one that was published keeps what it has.
        count: Pictures; the most dangerous confusions first, one for each class.
        subjects: Loads model and data.
    """
    if not (record.folder / "run.json").is_file():
        return record
    data = str(record.info.data.name)
    if not may_be_shown(data):
        return replace(record, no_pictures=f"images of {data} are not shown: its card does not say that they may be")
    try:
        return replace(record, pictures=pictures(record, count, subjects), no_pictures="no witness was kept")
    except HarnessError as error:
        return replace(record, no_pictures=str(error))


def may_be_shown(data: str) -> bool:
    """Whether the card of the data set (``NAME``, or with its split ``NAME-test``) says ``pictures = true``."""
    registry = Registry("datasets")
    data, _ = parted_corruptions(data)
    for name in (data, *(data.removesuffix(f"-{split}") for split in ("test", "val", "train"))):
        if name in registry:
            return registry.get(name).details("cards/datasets").get("pictures") is True
    return False


def pictures(record: Record, count: int, subjects: Subjects) -> tuple[Picture, ...]:
    """Up to `count` pictures, the nearest witness of each sample; see `with_pictures`.

    Raises:
        HarnessError: data or witnesses cannot be read, or the data are not those of the run.
    """
    rows = _choose(record, count)
    if not rows:
        return ()
    from harness.evidence import witnesses
    from harness.inputs.samples import checked

    model, data = subjects.of(record.info)
    clean, labels = checked(data, [row["sample_id"] for row in rows])
    if labels.tolist() != [int(record.labels[np.searchsorted(record.sample_ids, row["sample_id"])]) for row in rows]:
        raise BadRun(f"the data set {data.name!r} found here has other labels than the run")
    try:
        broken = witnesses.decode([row["image"] for row in rows], clean)
    except ValueError as error:
        raise BadRun(f"run {record.folder}: {error}; is the data set another one?") from None
    before, after = _answers(record, model, clean, broken)
    epsilons = {epsilon.value: epsilon.label for epsilon in record.info.suite.grid}
    found = []
    for place, row in enumerate(rows):
        gain = _gain(broken[place] - clean[place], row["epsilon"], record.info.suite.ruler)
        amplified = (0.5 + gain * (broken[place] - clean[place])).clamp(0, 1)
        found.append(
            Picture(
                sample=row["sample_id"],
                label=int(labels[place]),
                attack=row["attack"],
                epsilon_label=epsilons.get(row["epsilon"], f"{row['epsilon']:.4g}"),
                distance=row["distance"],
                clean_pred=before[place][0] if before else int(labels[place]),
                adv_pred=row["adv_pred"],
                clean_confidence=before[place][1] if before else None,
                adv_confidence=after[place][1] if after else None,
                gain=gain,
                clean=_png(clean[place]),
                perturbation=_png(amplified),
                adversarial=_png(broken[place]),
            )
        )
    return tuple(found)


def _choose(record: Record, count: int) -> list[dict[str, Any]]:
    """Witnesses to show: one a sample and one a true class, the most dangerous confusions first."""
    tables = list(RunStore(record.folder).all_witnesses())
    if not tables or count < 1:
        return []
    every = pa.concat_tables(tables)
    light = every.select(["sample_id", "adv_pred", "epsilon", "distance"]).to_pydict()
    names = [str(name) for name in record.info.classes or ()]
    known = ranked(names)
    best: dict[int, tuple[Any, ...]] = {}
    for row, sample in enumerate(light["sample_id"]):
        at = int(np.searchsorted(record.sample_ids, sample))
        if at >= len(record.sample_ids) or record.sample_ids[at] != sample:
            raise BadRun(f"run {record.folder} keeps a witness of sample {sample}, which it does not measure")
        label, read_as = int(record.labels[at]), light["adv_pred"][row]
        inside = known and label != read_as and 0 <= read_as < len(names) and label < len(names)
        level = danger(names[label], names[read_as])[0] if inside else 0
        key = (-level, light["epsilon"][row], light["distance"][row], sample, row)
        if label not in best or key < best[label]:
            best[label] = key
    chosen = sorted(best.values())[:count]
    return [dict(every.slice(key[-1], 1).to_pylist()[0]) for key in chosen]


def _answers(
    record: Record, model: LoadedModel, clean: Tensor, broken: Tensor
) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    """Prediction and confidence of each image; nothing if the model found here has other weights than the run's."""
    import torch

    from harness.inputs.identity import is_model
    from harness.inputs.reference import ReferenceModel

    if not is_model(model, record.info.model.sha256, record.info.subject):
        return [], []
    with ReferenceModel(model, torch.device("cpu")) as reference:
        reference.batch_size = len(clean)
        answers = []
        for images in (clean, broken):
            tops = torch.softmax(reference.logits(images).float(), 1).max(1)
            answers.append([(int(label), float(share)) for share, label in zip(tops.values, tops.indices, strict=True)])
    return answers[0], answers[1]


def _gain(delta: Tensor, epsilon: float, ruler: str) -> float:
    """Magnification that makes the largest allowed (linf) or largest present change a full half of the range."""
    reach = epsilon if ruler == "linf" else float(delta.abs().max())
    return 0.5 / reach if reach > 0 else 1.0


def _png(image: Tensor) -> bytes:
    """A PNG of one image, float32 [C,H,W] in [0,1] with 1 or 3 channels (of others the first is shown)."""
    from PIL import Image

    pixels: NDArray[np.uint8] = (image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    picture = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])
    picture.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    picture.save(out, "png", optimize=True)
    return out.getvalue()


def caption(picture: Picture, names: Sequence[str]) -> Mapping[str, str]:
    """What stands under each of the three images."""
    from leaderboard.tables.detail import class_name

    def said(label: int, confidence: float | None) -> str:
        name = class_name(names, label)
        return name if confidence is None else f"{name}, {100 * confidence:.0f} %"

    return {
        "clean": said(picture.clean_pred, picture.clean_confidence),
        "perturbation": f"perturbation x {picture.gain:.0f}",
        "adversarial": said(picture.adv_pred, picture.adv_confidence),
    }
