"""Requirements on measured runs, judged; the evidence for a release, or the reason against it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.base.threat import parse_epsilon
from harness.errors import BadEpsilon, UnknownName, UsageError
from leaderboard import wording
from leaderboard.rows import CLEAN, Score
from leaderboard.runs.collect import collect
from leaderboard.runs.record import CLEAN_PLACE, Record
from leaderboard.tables.paired import paired_cells, places
from leaderboard.tables.tables import choose, grouped, labels_of, make_tables, row_key, subjects, table_key

_EXAMPLES = "write for instance clean>=0.95, pgd-20@8/255>=0.45, worst@4/255>=0.6 or no-regression:results/old"
_FLOOR = re.compile(r"^\s*(?:(?P<clean>clean)|(?P<attack>\S+)@(?P<epsilon>[^@\s]+?))\s*>=\s*(?P<share>\S+)\s*$")


@dataclass(frozen=True)
class Floor:
    """``pgd-20@8/255>=0.45``: an accuracy that must be reached."""

    text: str
    attack: str
    epsilon: float
    share: float


@dataclass(frozen=True)
class NoRegression:
    """``no-regression:DIR``: nothing may be significantly worse than in the runs of DIR."""

    text: str
    folder: Path


Requirement = Floor | NoRegression


@dataclass(frozen=True)
class Verdict:
    """One requirement on one run."""

    requirement: str
    subject: str
    """Label of the model."""
    table: str
    run: str
    passed: bool
    message: str


def parse(text: str) -> Requirement:
    """One ``--require``.

    Raises:
        UsageError: it is not a requirement.
        BadEpsilon: its epsilon is not one.
    """
    if text.strip().startswith("no-regression:"):
        folder = text.strip().removeprefix("no-regression:")
        if not folder:
            raise UsageError(f"requirement {text!r} names no folder; {_EXAMPLES}")
        return NoRegression(text.strip(), Path(folder))
    match = _FLOOR.match(text)
    if not match:
        raise UsageError(f"requirement {text!r} cannot be read; {_EXAMPLES}")
    try:
        share = float(match["share"])
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise UsageError(f"requirement {text!r}: {match['share']!r} is not a share from 0 to 1; {_EXAMPLES}")
    if match["attack"] == CLEAN:
        raise UsageError(f"requirement {text!r}: clean accuracy has no epsilon; write clean>={match['share']}")
    if match["clean"]:
        return Floor(text.strip(), CLEAN, 0.0, share)
    try:
        # Norms differ by run; l2 takes every number, and one that was never measured is refused later.
        epsilon = parse_epsilon(match["epsilon"], "l2").value
    except BadEpsilon as error:
        raise BadEpsilon(f"requirement {text!r}: {error}") from None
    return Floor(text.strip(), match["attack"], epsilon, share)


def judge(records: Sequence[Record], requirements: Sequence[Requirement], confident: bool = False) -> list[Verdict]:
    """Every requirement on every model, the newest complete run of each speaking for it.

    A floor has to hold in every table that has its cell, and every model needs at least one; with `confident` it is
    the lower end of the 95 % interval that has to reach it.

    Raises:
        UsageError: no run at all has the attack or the epsilon that a floor names.
        BadRun: the folder of a ``no-regression`` cannot be used.
    """
    subjects = _subjects(records)
    verdicts: list[Verdict] = []
    for requirement in requirements:
        if isinstance(requirement, Floor):
            _check_measured(requirement, subjects)
            verdicts += _judge_floor(requirement, subjects, confident)
        else:
            verdicts += _judge_regression(requirement, subjects)
    return verdicts


@dataclass(frozen=True, eq=False)
class _Subject:
    record: Record
    label: str
    table: str
    model: tuple[str, str]
    """Name and subject: the same model stands in several tables."""

    def verdict(self, requirement: Requirement, passed: bool, message: str) -> Verdict:
        return Verdict(requirement.text, self.label, self.table, self.record.folder.name, passed, message)

    def score(self, floor: Floor) -> Score | None:
        """The cell that a floor is about, if the run's suite has it."""
        if floor.attack == CLEAN:
            return self.record.scores[CLEAN_PLACE]
        scores = (score for place, score in self.record.scores.items() if place[0] == floor.attack)
        return next((s for s in scores if math.isclose(s.epsilon, floor.epsilon, rel_tol=1e-9)), None)


def _subjects(records: Sequence[Record]) -> list[_Subject]:
    groups = grouped(records)
    names = wording.titles(make_tables(records))
    known = subjects(records)
    found = []
    for group, name in zip(groups, names, strict=True):
        chosen, _ = choose(group)
        found += [
            _Subject(record, label, name, row_key(record.info, known)[:2])
            for record, label in zip(chosen, labels_of(chosen), strict=True)
        ]
    return found


def _check_measured(floor: Floor, subjects: Sequence[_Subject]) -> None:
    scores = [score for subject in subjects for score in subject.record.scores.values()]
    if floor.attack not in {score.attack for score in scores}:
        known = {score.attack for score in scores}
        raise UnknownName("attack", floor.attack, known, f"(in requirement {floor.text!r})")
    if not any(subject.score(floor) for subject in subjects):
        measured = {score.epsilon: score.epsilon_label for score in scores if score.attack == floor.attack}
        labels = ", ".join(label for _, label in sorted(measured.items()))
        raise UsageError(f"requirement {floor.text!r}: {floor.attack} was not measured there; measured at {labels}")


def _judge_floor(floor: Floor, subjects: Sequence[_Subject], confident: bool) -> list[Verdict]:
    verdicts: list[Verdict] = []
    judged = {subject.model for subject in subjects if subject.score(floor)}
    for subject in subjects:
        score = subject.score(floor)
        if score is None:
            if subject.model not in judged:
                judged.add(subject.model)  # said once
                verdicts.append(subject.verdict(floor, False, "this was not measured for the model"))
            continue
        if score.accuracy is None or score.ci95 is None:
            message = f"the cell is {score.status}, and what is not known does not pass"
            verdicts.append(subject.verdict(floor, False, message))
            continue
        value = score.ci95[0] if confident else score.accuracy
        reading = "lower end, " if confident else ""
        message = f"{reading}{wording.score_text(score)} %, required {100 * floor.share:g} %"
        verdicts.append(subject.verdict(floor, value >= floor.share, message))
    return verdicts


def _judge_regression(requirement: NoRegression, subjects: Sequence[_Subject]) -> list[Verdict]:
    old = collect([requirement.folder])
    return [_regression(requirement, subject, old) for subject in subjects]


def _regression(requirement: NoRegression, subject: _Subject, old: Sequence[Record]) -> Verdict:
    info = subject.record.info
    same = [r for r in old if table_key(r.info) == table_key(info) and r.info["model"]["name"] == info["model"]["name"]]
    same = [r for r in same if r.info["seed"] == info["seed"]] or same
    if not same:
        message = (
            f"{requirement.folder} has no run of {info['model']['name']} on the same data slice, suite, grid and mode"
        )
        return subject.verdict(requirement, False, message)
    before = max(choose(same)[0], key=lambda record: (record.complete, record.info["finished"] or ""))
    if before.folder.resolve() == subject.record.folder.resolve():
        raise UsageError(f"requirement {requirement.text!r} would compare run {before.folder} with itself")
    lost = [p for p in places(before) if p in before.survivors and p not in subject.record.survivors]
    if lost:
        names = ", ".join(f"{attack} {label}" for attack, label in lost)
        return subject.verdict(requirement, False, f"not complete any more: {names}")
    cells, _ = paired_cells(subject.record, before)
    if not cells:
        return subject.verdict(requirement, False, f"run {before.folder.name} has no complete cell to compare with")
    worse = [cell for cell in cells if cell.significant and cell.paired.difference < 0]
    if worse:
        drops = ", ".join(
            f"{cell.a.attack} {cell.a.epsilon_label} {100 * cell.paired.difference:+.1f} points (p = {cell.p_holm:.2g})"
            for cell in worse
        )
        return subject.verdict(requirement, False, f"significantly worse than run {before.folder.name}: {drops}")
    message = f"no cell of {len(cells)} is significantly worse than in run {before.folder.name}"
    return subject.verdict(requirement, True, message)
