"""Before evidence on disk is reused: whether it is of this model; a line says where it is not."""

from __future__ import annotations

from pathlib import Path

import torch

from harness.errors import BadRun
from harness.evidence import earlier, facts
from harness.evidence.run_info import RunInfo
from harness.evidence.store import RunStore, Unit
from harness.inputs.fingerprint import FILE, Fingerprint, difference, read, take
from harness.inputs.reference import ReferenceModel, margins
from harness.inputs.samples import Slice
from harness.inputs.suite import Suite

SAME = 64
"""Images that the model of a run without a fingerprint is asked again."""
TOLERANCE, TOLERATED = 0.02, 0.1
"""Share of the logit range that a margin may move between machines, and share of the images that may move further."""
KEPT = ("suite", "data", "mode", "seed")
"""What two runs share of which only the code of the model may differ."""


def fingerprint(reference: ReferenceModel, part: Slice, suite: Suite) -> Fingerprint:
    """How the model behaves, on the first images of the slice and in the balls of the suite."""
    return take(reference, part.take(0)[0], suite.norm, () if suite.threat == "corruption" else suite.grid)


def recognize(store: RunStore, reference: ReferenceModel, part: Slice, suite: Suite) -> tuple[Fingerprint, str]:
    """The model's fingerprint; and, where it does not fit the run in `store`, what was done about it, in one line.

    A run of another model is set aside, and an earlier one of this model is taken back. A model that does not answer
    alike twice fits no finished run; an unfinished one goes on, as its units would differ in one go, too.

    Raises:
        BadRun: the folder cannot be written.
    """
    here, info = fingerprint(reference, part, suite), _info(store)
    if info is None and not any((store.folder / "facts").glob("*.parquet")):
        return here, ""
    changed = _changed(store, info, here, reference, part)
    if not changed:
        return here, ""
    place = earlier.set_aside(store.folder, FILE)
    line = f"model {reference.name!r} {changed}: {store.folder} is measured again, what was there is kept in {place}"
    for old in earlier.kept(store.folder):
        known = read(old / FILE)
        if old != place and known is not None and not difference(known, here):
            earlier.take_back(store.folder, old, FILE)
            line += f"; {old} was measured on this model and is taken back"
            break
    RunStore.create(store.folder.parent, store.folder.name)  # the folders of its parts
    return here, line


def other_code(results: Path, here: RunInfo) -> str:
    """A line where the results hold this run of the same weights with other code; nothing where they do not."""
    stem, own = here.run_name.removesuffix(here.key[:12]), here.model
    for path in sorted(results.glob(f"{stem}*/run.json")):
        info = _info(RunStore(path.parent))
        if info is None or info.model.code == own.code:
            continue
        same = (info.model.name, info.model.sha256) == (own.name, own.sha256)
        if same and all(getattr(info, name) == getattr(here, name) for name in KEPT):
            return f"the code of model {own.name!r} is not that of {path.parent}: it is measured again"
    return ""


def _info(store: RunStore) -> RunInfo | None:
    try:
        return store.read_info()
    except BadRun:
        return None


def _changed(store: RunStore, info: RunInfo | None, here: Fingerprint, reference: ReferenceModel, part: Slice) -> str:
    """Why the run is not this model's, in words; nothing if it is."""
    known = read(store.folder / FILE)
    if known is None:
        if (info is not None and info.subject) or (store.folder / FILE).exists():
            return "cannot be compared with the one measured before, whose fingerprint is lost"
        return _other_answers(store, reference, part)
    if not here.repeatable and not known.repeatable and (info is None or info.status != "complete"):
        return ""
    words = difference(known, here)
    return f"{words} than when it was measured before" if words and here.repeatable else words


def _other_answers(store: RunStore, reference: ReferenceModel, part: Slice) -> str:
    """For runs of versions without fingerprints: whether clean margins are others than rounding explains."""
    known = store.facts_of(Unit(facts.CLEAN, "0", 0))
    if known is None or known["sample_id"].to_pylist() != part.ids(0).tolist():
        return ""  # facts of other samples: the worker sets them aside
    images, labels = (tensor[:SAME] for tensor in part.take(0))
    logits = reference.logits(images)
    before = torch.from_numpy(known["margin"].to_numpy()[:SAME].copy())
    here = margins(logits, labels.to(logits.device)).double().cpu()
    spread = (logits.amax(1) - logits.amin(1)).double().cpu()
    other = int(((here - before).abs() > TOLERANCE * spread + 1e-6).sum())
    if other <= TOLERATED * len(images):
        return ""
    return f"answers {other} of {len(images)} clean images differently than when it was measured before"
