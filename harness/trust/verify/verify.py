"""Proof without an attack tool: robust accuracy is at most what the witnesses on disk show.

Every number is counted again, every witness measured and predicted again by the checkpoint that the run names. What
survived is a claim; `harness.replay` attacks some of it again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.base.machine import device_name, pick_device
from harness.errors import BadData, BadRun, BadSuite, TornFile, UnknownName, UsageError
from harness.evidence.facts import CLEAN
from harness.evidence.run_info import RunInfo
from harness.evidence.run_json import parse
from harness.evidence.store import RunStore
from harness.inputs.boxes import boxes_digest
from harness.inputs.identity import is_model, subject, weights_of
from harness.inputs.ids import IdSet
from harness.inputs.reference import ReferenceModel
from harness.inputs.registry import Registry
from harness.inputs.samples import Slice, make_slice
from harness.inputs.suite_file import load_suite
from harness.trust.verify.bounds import bounds
from harness.trust.verify.coherence import check_coherence
from harness.trust.verify.corrupted import Remake
from harness.trust.verify.places import CLEAN_PLACE, CountedRun, check_draw, read_records
from harness.trust.verify.recount import check_key, recount
from harness.trust.verify.remeasure import Proof, check_backing, remeasure
from harness.trust.verify.replay import replay
from harness.trust.verify.verdict import Bound, Contradictions, Replay, Verdict
from harness.types import Dataset, Finding, LoadedModel


@dataclass(frozen=True)
class VerifyOptions:
    """How to verify."""

    replay: int = 0
    """Survivors to attack again."""
    seed: int = 0
    """Of the draw: a number that the run's author could not foresee."""
    device: str = "auto"
    say: Callable[[str], None] | None = None
    """Told how far the replay is."""


def verify(folder: Path, model: LoadedModel, data: Dataset, options: VerifyOptions | None = None) -> Verdict:
    """What the run in `folder` proves, and everything that contradicts it; writes nothing.

    Args:
        folder: The run; its name does not matter.
        model: The checkpoint the run names, loaded by whoever verifies.
        data: The data set, likewise.
        options: How to verify.

    Raises:
        BadRun: the folder holds no run.json of a known schema.
        UsageError: unusable options.
        BadData: the data set's images are not what a data set may have.
        MissingPackage: a tool is not installed that `replay` needs.
    """
    options, begun, problems = options or VerifyOptions(), time.monotonic(), Contradictions()
    if options.replay < 0:
        raise UsageError(f"--replay {options.replay} must be at least 1")
    if options.seed < 0:
        raise UsageError(f"--seed {options.seed} must be at least 0")
    device, store = pick_device(options.device), RunStore(folder)
    try:
        content = store.read_json("run.json")
    except TornFile as error:
        return unreadable(folder, error)
    notes: list[Finding] = []
    try:
        info = parse(content)
        info.planned  # noqa: B018  # what it says of a run without a plan
    except BadRun as error:
        return refused(folder, content, error)
    work = _Work(store=store, info=info, model=model, problems=problems, notes=notes)
    with ReferenceModel(model, device) as reference:
        work.run(reference, data, options)
    return Verdict(
        folder=folder,
        run=info.run_name,
        key=info.key,
        problems=tuple(problems.found),
        notes=tuple(notes),
        evidence=str(info.witnesses),
        bounds=tuple(work.bounds),
        marginals=tuple(work.proof.marginals) if work.proof else (),
        witnesses=work.proof.judged if work.proof else 0,
        survivors=work.survivors,
        replay=work.replay,
        device=device_name(device),
        seconds=round(time.monotonic() - begun, 3),
    )


def unreadable(folder: Path, error: TornFile) -> Verdict:
    """The verdict on a run whose run.json is no JSON: nothing is proved, and the answer is no."""
    return Verdict(folder=folder, run=folder.name, key="", problems=(Finding("run", "error", str(error)),))


def refused(folder: Path, content: Mapping[str, Any], error: BadRun) -> Verdict:
    """The verdict on a run whose run.json has not the form of one."""
    name, key, evidence = (str(content.get(told, "")) for told in ("run_name", "key", "witnesses"))
    problems = (Finding("run", "error", str(error)),)
    return Verdict(folder=folder, run=name or folder.name, key=key, problems=problems, evidence=evidence)


@dataclass(kw_only=True)
class _Work:
    """One verification and what came of it."""

    store: RunStore
    info: RunInfo
    model: LoadedModel
    problems: Contradictions
    notes: list[Finding]
    bounds: tuple[Bound, ...] = ()
    proof: Proof | None = None
    survivors: int = 0
    replay: Replay | None = None

    def run(self, reference: ReferenceModel, data: Dataset, options: VerifyOptions) -> None:
        """CountedRun first, then model and data, and survivors if asked."""
        info, problems = self.info, self.problems
        check_key(info, problems)
        self._suite()
        records = read_records(self.store, info, problems)
        if records is None:
            return
        check_coherence(records, problems)
        whole = records.whole
        counted = recount(self.store, info, records.facts, problems if whole else Contradictions(), self.notes)
        self.survivors = sum(
            int((rows["outcome"] == "survived").sum())
            for place, rows in records.rows.items()
            if place[0] != CLEAN and place[1] is None
        )
        right_model, part = self._checkpoint(), self._slice(data, records)
        if part is not None and whole:
            check_draw(records, part.indices, problems)
        if not whole:
            self.notes.append(Finding("facts", "info", "sums and witnesses were not judged: facts are not complete"))
        if not whole or not right_model or part is None or CLEAN_PLACE not in records.rows:
            return
        if not np.array_equal(np.sort(part.indices), records.ids):
            problems.add("facts", "the samples of the facts are not those of the data slice")
            return
        self.proof = proof = remeasure(records, self.store, part, reference, problems)
        if info.suite.threat == "corruption":
            self._remake(records, part, reference, proof, options)
            return
        check_backing(records, proof, problems)
        self.bounds = tuple(bounds(records, proof, counted))
        self._say_what_is_kept(records, proof)
        if options.replay and problems.found:
            self.notes.append(Finding("replay", "info", "no survivor was attacked again: the run is refuted already"))
        elif options.replay:
            self.replay = replay(
                records, part, reference, proof.right, options.replay, options.seed, problems, self.notes, options.say
            )

    def _remake(
        self, records: CountedRun, part: Slice, reference: ReferenceModel, proof: Proof, options: VerifyOptions
    ) -> None:
        """Corrupted images are not stored: they are made again."""
        again = Remake(records, part, reference, self.problems)
        self.bounds = tuple(again.breaks(proof))
        if options.replay and not self.problems.found:
            self.replay = again.survivors(options.replay, options.seed)

    def _checkpoint(self) -> bool:
        """Whether the model is the run's."""
        told = self.info.model
        if not is_model(self.model, told.sha256, self.info.subject):
            here = subject(self.model.module) if self.info.subject else weights_of(self.model)
            self.problems.add(
                "model",
                f"the run names checkpoint {told.name!r:.60} with hash {self.info.told_subject:.23}, this one"
                f" ({self.model.name!r:.60}) has {here:.23}",
            )
            return False
        if told.name != self.model.name:
            text = f"the run's model {told.name!r:.60} is this checkpoint by its hash, but here {self.model.name!r:.60}"
            self.notes.append(Finding("model", "warn", text))
        self._card()
        return True

    def _card(self) -> None:
        """Whether the run says of the model what the model's own card says; without one it is the author's word."""
        told, card = self.info.card, self.model.card
        if told is None:
            return
        if card is None:
            text = "the run's card (defense, architecture, threat model) is its author's word: the model here has none"
            self.notes.append(Finding("card", "info", text))
            return
        here = {"defense": card.defense, "architecture": card.architecture, "trained_for": dict(card.trained_for)}
        for name, value in here.items():
            if told.get(name) != value:
                text = f"run.json's card has {name} {told.get(name)!r:.60}, the model's own has {value!r:.60}"
                self.problems.add("card", text)

    def _slice(self, data: Dataset, records: CountedRun) -> Slice | None:
        """The run's samples, or None if these are others."""
        told = self.info.data
        where = f"the run measured {told.n} samples of {told.name!r:.60}, {told.slice:.19}"
        if told.n > len(data):
            self.problems.add("data", f"{where}; {data.name!r:.60} has only {len(data)}")
            return None
        ids = None
        if told.ids is not None:
            ids = IdSet(told.ids.name, records.ids)
            if ids.sha256 != told.ids.sha256 or records.ids[-1] >= len(data):
                self.problems.add(
                    "data", f"the samples of the facts are not the set of ids {told.ids.name!r:.60} that run.json names"
                )
                return None
        part = make_slice(data, told.n if ids is None else None, self.info.suite.chunk, ids)
        if (digest := part.digest()) != told.slice:
            self.problems.add("data", f"{where}; here those of {data.name!r:.60} are {digest:.19}")
            return None
        if told.boxes is not None and not self._boxes(told.boxes, part):
            return None
        if told.name != data.name:
            text = f"the run's data {told.name!r:.60} are these by their hash, but here {data.name!r:.60}"
            self.notes.append(Finding("data", "warn", text))
        return part

    def _boxes(self, told: str, part: Slice) -> bool:
        """Whether the samples' boxes are those that the run's patches lay by."""
        try:
            here = boxes_digest(part)
        except BadData as error:
            self.problems.add("data", f"the run's patches lie by boxes: {error}")
            return False
        if here != told:
            self.problems.add("data", f"the run's patches lie by boxes {told:.19}; here they are {here:.19}")
        return here == told

    def _suite(self) -> None:
        """Note if a registered suite of this name and version has other attacks."""
        told = self.info.suite
        if told.name not in Registry("suites"):
            return
        try:
            known = load_suite(f"{told.name}@{told.version}")
        except UnknownName:
            text = f"suite {told.label} is not known here, only other versions: its attacks were not compared"
            self.notes.append(Finding("suite", "info", text))
            return
        here = [(a.id, a.tool, a.method, dict(a.params), a.chunk, a.after) for a in known.attacks]
        own = [attack for attack in told.attacks if not attack.adapt]  # adapted ones stand beside the suite's
        there = [(a.id, a.tool, a.method, a.params, a.chunk, a.after) for a in own]
        if here != there or (known.norm, known.threat, known.place) != (told.norm, told.threat, told.place):
            text = f"the run's attacks are not those of suite {known.label} as it is installed here"
            self.notes.append(Finding("suite", "warn", text))
            return
        try:
            wanted = known.counts(self.info.data.n)
        except BadSuite:  # its prefixes are longer than this slice
            wanted = ()
        for place, attack in enumerate(own):
            if (count := self.info.samples_of(attack)) not in wanted[place:][:1]:
                text = f"attack {attack.id!r:.80} ran on n = {count}, which is not that of suite {known.label}"
                self.notes.append(Finding("suite", "info", text))

    def _say_what_is_kept(self, records: CountedRun, proof: Proof) -> None:
        if self.info.estimated:
            text = "the worst case is an estimate, whose factors were counted again; witnesses bound it on the slice"
            self.notes.append(Finding("estimate", "info", text))
        evidence, claimed = self.info.witnesses, sum(bound.broken for bound in self.bounds)
        if evidence == "none" and claimed:
            share = 1 - float(proof.wrong.mean())
            self.problems.add(
                "backing",
                "the run kept no witnesses (--witnesses none): none of its claimed breaks can be proved, only that"
                f" robust accuracy is at most the clean accuracy, {100 * share:.2f} %",
            )
        if evidence == "worst":
            text = "the run kept one witness a sample (--witnesses worst): the worst case is backed; a single attack's"
            self.notes.append(Finding("backing", "info", f"{text} figures are claims where they are lower than proved"))
