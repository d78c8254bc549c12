"""What a run's model and data say here: clean predictions and targets again, and every stored witness judged again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.base.modes import MODES, runs_once
from harness.base.targets import resolve_targets
from harness.errors import BadRun, HarnessError
from harness.evidence.facts import BROKEN, CLEAN
from harness.evidence.store import RunStore
from harness.evidence.suite_info import AttackInfo
from harness.inputs.boxes import masks_of
from harness.inputs.draws import Draws, Poll, recorded_draws
from harness.inputs.reference import ReferenceModel, margins
from harness.inputs.samples import Slice
from harness.trust.verify.places import CLEAN_PLACE, CountedRun
from harness.trust.verify.verdict import Contradictions, Marginal, Mask
from harness.trust.verify.votes import clean_votes
from harness.trust.verify.witness import Tau, gap, judge, known_blocks, logit_of

Steps = NDArray[np.int64]


@dataclass(kw_only=True)
class Proof:
    """What holds here, of samples by ascending id.

    Attributes:
        right: Which samples are classified correctly, here and by the run, bool [n].
        wrong: Which are misclassified here unperturbed, bool [n].
        stored: For each attack (with None) and each of its components the smallest grid position with a stored witness,
            int [n]; the grid's length is none.
        holds: For each attack the same of witnesses that hold here.
        marginals: Predictions too close to be sure of on every device.
        judged: How many witnesses were judged.
    """

    right: Mask
    wrong: Mask
    stored: dict[tuple[str, str | None], Steps]
    holds: dict[str, Steps]
    marginals: list[Marginal] = field(default_factory=list)
    judged: int = 0


def remeasure(
    records: CountedRun, store: RunStore, part: Slice, reference: ReferenceModel, problems: Contradictions
) -> Proof:
    """Predict the clean images and judge every stored witness; names what the run has otherwise.

    Args:
        records: The run's facts, with an exact clean pass.
        store: Where the witnesses are.
        part: The run's samples; their hash was compared.
        reference: The run's model; its hash was compared.
        problems: Takes what contradicts the run.
    """
    n, nowhere = len(records.ids), len(records.grid)
    owners = [(attack.id, component) for attack in records.attacks for component in (None, *attack.components)]
    stored = {owner: np.full(n, nowhere) for owner in owners}
    holds = {attack.id: np.full(n, nowhere) for attack in records.attacks}
    draws = recorded_draws(records.info.randomness, records.info.seed)
    poll, logits, labels = _predict(part, reference, draws)
    proof = Proof(right=np.zeros(n, bool), wrong=np.zeros(n, bool), stored=stored, holds=holds)
    tau = Tau.of(logits)
    if poll is None or draws is None:
        _clean(records, logits, labels, tau, proof, problems)
    else:
        _polled(records, poll, labels, draws, proof, problems)
    for attack in records.attacks:
        if "target" in attack.params:
            _targets(records, attack, logits, labels, tau, problems)
    seen: set[tuple[Any, ...]] = set()
    suite = records.info.suite
    try:
        for table in store.all_witnesses():
            table.validate(full=True)
            for place, block in known_blocks(table, records, seen, problems):
                ids = block["sample_id"].to_pylist()
                clean, truth = part.data.take(ids)
                masks = masks_of(suite.place, part.data, ids, clean.shape) if suite.threat == "patch" else None
                judged = judge(block, place, records, clean, truth, reference, tau, problems, masks)
                for owner in {(place[0], None), place[:2]}:
                    stored[owner][judged.at] = np.minimum(stored[owner][judged.at], place[2])
                good = judged.at[judged.holds]
                holds[place[0]][good] = np.minimum(holds[place[0]][good], place[2])
                proof.marginals += judged.marginals
                proof.judged += len(block)
    except (BadRun, pa.ArrowException) as error:
        problems.add("witness", str(error))
    return proof


def check_backing(records: CountedRun, proof: Proof, problems: Contradictions) -> None:
    """Name every claimed break without a stored witness, of that attack or component, at that or a smaller epsilon.

    Of a run that kept one witness a sample that is asked of the worst case; of one that kept none, of nothing. A sample
    is named once for each attack, at the smallest epsilon: a lost file of witnesses is one line.
    """
    named: dict[str, Mask] = {}
    evidence = records.info.witnesses
    nearest = np.minimum.reduce(list(proof.stored.values()))
    after = {attack.id: attack.after for attack in records.attacks}
    for (attack, component, at), rows in records.rows.items():
        if attack == CLEAN:
            continue
        # Where attacks share, an attack's break may be another's witness; a component's is always its own.
        shared = MODES[records.info.mode].shares_of(after[attack]) and component is None
        stored = proof.stored[attack, component] if evidence == "all" and not shared else nearest
        bare = np.isin(rows["outcome"], BROKEN) & (stored > at)
        if component is not None:
            bare &= ~_settled(records, attack, at)
        known = named.setdefault(attack, np.zeros(len(records.ids), bool))
        bare &= ~known
        np.logical_or(known, bare, out=known)
        name = records.name((attack, component, at))
        if evidence != "none":
            what = "broken, but no witness is stored at this or a smaller epsilon"
            problems.rows("backing", name, records.ids, bare, what)


def _settled(records: CountedRun, attack: str, at: int) -> Mask:
    """Samples whose witnesses at this epsilon are not kept, for a smaller one broke them, bool [n]."""
    found = np.zeros(len(records.ids), bool)
    (info,) = (one for one in records.attacks if one.id == attack)
    if runs_once(info) or MODES[records.info.mode].halves_of(info):
        return found  # these keep every witness
    for step in range(at):
        if (rows := records.rows.get((attack, None, step))) is not None:
            found |= np.isin(rows["outcome"], BROKEN)
    return found


def _predict(part: Slice, reference: ReferenceModel, draws: Draws | None) -> tuple[Poll | None, Tensor, Tensor]:
    """Votes of a model that is asked often, logits [n,K] and labels, int64 [n], by ascending sample id, on the CPU."""
    pieces = []
    for index in range(part.chunks):
        images, labels = part.take(index)
        if draws is None:
            logits = reference.logits(images)
            pieces.append((logits, logits, labels))
        else:
            poll = draws.poll(reference, images, part.ids(index).tolist())
            pieces.append((poll.votes, poll.logits, labels))
    order = torch.from_numpy(np.argsort(part.indices))
    votes, logits, labels = (torch.cat(column).cpu()[order] for column in zip(*pieces, strict=True))
    return None if draws is None else Poll(votes, logits), logits, labels


def _clean(
    records: CountedRun, logits: Tensor, labels: Tensor, tau: Tau, proof: Proof, problems: Contradictions
) -> None:
    """Compare labels and clean predictions."""
    ids, rows, limit = records.ids, records.rows[CLEAN_PLACE], tau(logits)
    truth, here = labels.numpy(), logits.argmax(1).numpy()
    problems.rows("label", "clean", ids, rows["label"] != truth, "the label is not that of the data")
    flipped = here != rows["clean_pred"]
    close = gap(logits, rows["clean_pred"]) < limit
    problems.rows("clean", "clean", ids, flipped & ~close, "the model predicts another class than recorded")
    now = margins(logits, labels).double().numpy()
    off = ~(np.abs(now - rows["margin"]) <= limit)
    problems.rows("clean", "clean", ids, off & (close | ~flipped), "the recorded margin is not the model's")
    for row in np.flatnonzero(flipped & close):
        before = float(rows["margin"][row])
        proof.marginals.append(
            Marginal(
                sample_id=int(ids[row]),
                attack=CLEAN,
                epsilon_label="0",
                recorded=before,
                here=float(now[row]),
                flipped=True,
            )
        )
    proof.wrong[:] = here != truth
    proof.right[:] = (here == truth) & ~flipped


def _polled(
    records: CountedRun, poll: Poll, labels: Tensor, draws: Draws, proof: Proof, problems: Contradictions
) -> None:
    """Compare labels and clean votes."""
    ids, rows, truth = records.ids, records.rows[CLEAN_PLACE], labels.numpy()
    problems.rows("label", "clean", ids, rows["label"] != truth, "the label is not that of the data")
    broken, off = clean_votes(rows["margin"], poll, labels, draws)
    problems.rows("clean", "clean", ids, broken, f"the recorded margin is no share of {draws.votes} votes")
    problems.rows("clean", "clean", ids, off, "the recorded votes are not the model's")
    here, now = (rows["label"] == truth) & (poll.answers(labels).numpy() == truth), poll.margins(labels).numpy()
    flipped = here != (rows["clean_pred"] == truth)
    for row in np.flatnonzero(flipped & ~broken & ~off):
        proof.marginals.append(
            Marginal(
                sample_id=int(ids[row]),
                attack=CLEAN,
                epsilon_label="0",
                recorded=float(rows["margin"][row]),
                here=float(now[row]),
                flipped=True,
            )
        )
    proof.wrong[:] = ~here
    proof.right[:] = here & ~flipped


def _targets(
    records: CountedRun, attack: AttackInfo, logits: Tensor, labels: Tensor, tau: Tau, problems: Contradictions
) -> None:
    """Compare a targeted attack's targets with its rule; classes that are equally likely may change places."""
    rule = str(attack.params["target"])
    try:
        wanted = resolve_targets(rule, logits, labels).numpy()
    except HarnessError as error:
        problems.add("target", f"{attack.id}: {error}")
        return
    for place, rows in records.rows.items():
        if place[0] == attack.id:
            target = rows["target"]
            close = np.abs(logit_of(logits, target) - logit_of(logits, wanted)) < tau(logits)
            bad = (target >= 0) & (target != wanted) & ~close
            problems.rows("target", records.name(place), records.ids, bad, f"the target is not the rule's, {rule}")
