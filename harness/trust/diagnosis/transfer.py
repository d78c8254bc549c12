"""Transfer: witnesses that were found against other models, offered to this one (P26).

What an attack could not find here it may have found elsewhere: a model that falls to another one's witnesses, while its
own attacks left those samples standing, hides its gradients (Carlini et al. 2019, arXiv:1902.06705). The numbers of the
run stay those of its attacks; the finding says by how much they are too high.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from harness.base.deadline import Deadline, Halted
from harness.base.threat import distance, inside_ball, inside_box
from harness.errors import BadRun
from harness.evidence import witnesses
from harness.evidence.facts import BROKEN, CLEAN
from harness.evidence.findings import NOTHING_MORE, found, percent
from harness.evidence.pool import misfit
from harness.evidence.run_info import RunInfo
from harness.evidence.store import RunStore
from harness.inputs.boxes import masks_of
from harness.inputs.draws import recorded_draws
from harness.inputs.reference import ReferenceModel
from harness.inputs.samples import Slice, checked
from harness.trust.diagnosis.between_attacks import GAP, WIDE_GAP
from harness.types import Finding

BLOCK, FEWEST = 512, 3


def transfer(
    reference: ReferenceModel,
    part: Slice,
    info: RunInfo,
    facts: pa.Table,
    folders: Sequence[Path],
    deadline: Deadline | None = None,
) -> list[Finding]:
    """One finding for each other run on the same samples and norm: which survivors of `run` its witnesses break.

    Runs of the same checkpoint, on other samples, in another norm or without witnesses are passed over.

    Args:
        reference: The run's model, entered.
        part: Its samples.
        info: The content of its run.json.
        facts: All its facts.
        folders: Other runs, see `harness.evidence.pool.find_runs`.
        deadline: When no more is offered; what was left out is a finding, too.
    """
    standing = standing_of(info, facts)
    findings = []
    for place, folder in enumerate(folders):
        try:
            other = RunStore(folder).read_info()
            if misfit(info, other):
                continue
            findings.append(
                _offer(reference, part, info, other, RunStore(folder).all_witnesses(), standing, deadline or Deadline())
            )
        except Halted:
            more = f" and {len(folders) - place - 1} more" if place < len(folders) - 1 else ""
            message = (
                f"the budget ran out before the witnesses of {folder}{more} were offered; the same command offers them"
            )
            return [*findings, Finding("budget", "warn", message)]
        except (BadRun, KeyError, TypeError, ValueError) as error:
            findings.append(found("P26", "info", f"the witnesses of {folder} could not be offered: {error}"))
    return findings


def standing_of(info: RunInfo, facts: pa.Table) -> dict[str, set[int]]:
    """For each epsilon the samples that are right, and that no attack broke in that ball or a smaller one."""
    whole = facts.filter(pc.is_null(facts["component"]))
    clean = whole.filter(pc.equal(whole["attack"], CLEAN))
    left = set(clean.filter(pc.equal(clean["outcome"], "survived"))["sample_id"].to_pylist())
    standing = {}
    for epsilon in info.suite.grid:
        here = whole.filter(pc.equal(whole["epsilon"], epsilon.value))
        broken = here.filter(pc.is_in(here["outcome"], pa.array(BROKEN)))
        left = left - set(broken["sample_id"].to_pylist())
        standing[epsilon.label] = left
    return standing


class _Judge:
    """What the model makes of other models' witnesses; of one that is asked often, each is put to a vote."""

    def __init__(self, reference: ReferenceModel, info: RunInfo) -> None:
        self.reference, self.draws = reference, recorded_draws(info.randomness, info.seed)
        self.tried: Counter[int] = Counter()

    def wrong(self, images: Tensor, ids: Sequence[int], labels: Tensor) -> Tensor:
        """Which images [m,C,H,W] of the samples `ids` are misclassified, bool [m]."""
        if self.draws is None:
            return self.reference.logits(images).argmax(1).cpu() != labels
        found = []
        for row, sample in enumerate(ids):
            self.tried[sample] += 1
            image, label = images[row : row + 1], int(labels[row])
            found.append(self.draws.trial(self.reference, image, sample, self.tried[sample], label).accepted)
        return torch.tensor(found)


def _offer(
    reference: ReferenceModel,
    part: Slice,
    info: RunInfo,
    other: RunInfo,
    tables: Iterator[pa.Table],
    standing: Mapping[str, set[int]],
    deadline: Deadline,
) -> Finding:
    judge = _Judge(reference, info)
    fallen: dict[str, set[int]] = {label: set() for label in info.suite.labels}
    known, offered = set(part.indices.tolist()), 0
    for table in tables:
        for block in table.to_batches(BLOCK):
            deadline.check()
            ids = block["sample_id"].to_pylist()
            if not set(ids) <= known:
                raise ValueError("a witness belongs to no sample of this run")
            clean, labels = checked(part.data, ids)
            images = witnesses.decode(block["image"].to_pylist(), clean)
            patched = info.suite.threat == "patch"
            masks = masks_of(info.suite.place, part.data, ids, clean.shape) if patched else None
            reach = distance(images, clean, info.suite.norm, masks)
            inside = inside_box(images)
            images[~inside] = 0.5  # what is no image is not shown to the model
            wrong = inside & judge.wrong(images, ids, labels)
            offered += len(ids)
            for epsilon in info.suite.grid:
                hits = wrong & inside_ball(reach, epsilon.value, info.suite.norm)
                rows = torch.nonzero(hits).flatten().tolist()
                fallen[epsilon.label] |= {ids[row] for row in rows} & standing[epsilon.label]
    n, name = info.data.n, f"{other.model.name} ({other.run_name})"
    worst = max(fallen, key=lambda label: len(fallen[label]))
    count, share = len(fallen[worst]), len(fallen[worst]) / n
    if count < FEWEST or share < GAP:
        came = NOTHING_MORE.replace("0", str(count), 1)
        message = f"of {offered} witnesses found against {name}, {came}"
        return found("P26", "info", message, share, GAP)
    message = (
        f"{percent(share)} of the samples survive every attack at {worst}, but not the witnesses found against {name};"
        " gradients are masked, so the true robust accuracy is lower: attack by transfer, or adapt the loss"
    )
    return found("P26", "error" if share >= WIDE_GAP else "warn", message, share, GAP)
