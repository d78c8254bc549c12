"""Requirements on measured runs, judged; the evidence for a release, or the reason against it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, UnknownName, UsageError
from harness.evidence.corrupted import MEAN
from harness.evidence.findings import CHECKS
from leaderboard import row_text, wording
from leaderboard.compare.requirements import Floor, Grade, NoRegression, Requirement
from leaderboard.rows import CLEAN, WORST, Score
from leaderboard.runs.board import BOARD
from leaderboard.runs.collect import alone, collect
from leaderboard.runs.record import CLEAN_PLACE, Record
from leaderboard.tables.joining import with_joined
from leaderboard.tables.paired import paired_cells, places
from leaderboard.tables.tables import age, choose, grouped, labels_of, make_tables, row_key, subjects, table_key

BELIEVED = "a run, or a file that its board lists"
"""What is required of every row: a claim or a refuted run proves nothing."""
NO_ERRORS = "no findings of level error"
"""What is required of every run, unless ``--allow`` names the check."""


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """One requirement on one run."""

    requirement: str
    subject: str
    """Label of the model."""
    table: str
    run: str
    passed: bool
    message: str


def judge(
    records: Sequence[Record],
    requirements: Sequence[Requirement],
    confident: bool = False,
    *,
    allow: Sequence[str] = (),
    every_run: bool = False,
    boards: Sequence[Path] = (),
) -> list[Ruling]:
    """Every requirement on every model, its newest run speaking for it.

    A floor has to hold in every table that has its cell, also in one of joined runs, and every model needs at least
    one; with `confident` it is the lower end of the 95 % interval that has to reach it. A finding of level error fails
    the run, whatever its figures are: they are not what they look like. What cannot be judged (an attack that nobody
    measured, a baseline that is not there) fails, too, beside the others.

    Args:
        records: The runs.
        requirements: What is asked of them.
        confident: Whether a floor asks for the lower end of the interval.
        allow: Checks whose findings are accepted, for instance ``P7``.
        every_run: Judge every run instead of the newest of each model, seed, suite and data set.
        boards: Folders whose boards are believed of a baseline, too; one of published files alone is believed anyway.

    Raises:
        UnknownName: a check to allow that does not exist.
    """
    for check in allow:
        if check not in CHECKS:
            raise UnknownName("check", check, CHECKS, "in --allow")
    subjects = _subjects(with_joined(records if every_run else newest(records)))
    measured = [subject for subject in subjects if subject.record.joined is None]
    verdicts = [verdict for subject in measured if (verdict := _judge_standing(subject))]
    verdicts += [verdict for subject in measured if (verdict := _judge_errors(subject, allow))]
    for requirement in requirements:
        try:
            judged = subjects if isinstance(requirement, Floor) else measured
            verdicts += _judge(requirement, judged, confident, boards)
        except HarnessError as error:
            verdicts.append(
                Ruling(
                    requirement=requirement.text,
                    subject="all",
                    table="",
                    run="",
                    passed=False,
                    message=f"cannot be judged: {error}",
                )
            )
    return verdicts


def _judge(
    requirement: Requirement, subjects: Sequence[_Subject], confident: bool, boards: Sequence[Path]
) -> list[Ruling]:
    if isinstance(requirement, Floor):
        _check_measured(requirement, subjects)
        return _judge_floor(requirement, subjects, confident)
    if isinstance(requirement, Grade):
        return [_judge_grade(requirement, subject) for subject in subjects]
    return _judge_regression(requirement, subjects, boards)


def newest(records: Sequence[Record]) -> list[Record]:
    """The run that finished last of each model name, seed, suite, data set and norm, complete or not.

    Other weights, another slice or version of the suite make a run newer, not another one: a folder that is kept holds
    last week's runs beside today's.
    """
    latest: dict[tuple[Any, ...], Record] = {}
    for record in sorted(records, key=age):
        info = record.info
        name = info.suite.label.partition("@")[0]
        latest[info.model.name, info.seed, name, info.data.name, info.suite.ruler] = record
    return list(latest.values())


def _judge_standing(subject: _Subject) -> Ruling | None:
    record = subject.record
    if record.refuted:
        return subject.verdict(BELIEVED, False, "verification refuted it")
    if _to_come(record.info.finished):
        message = f"it says that it finished at {record.info.finished!s:.40}, which is yet to come"
        return subject.verdict(BELIEVED, False, message)
    if record.claim:
        return subject.verdict(BELIEVED, False, f"it is a claim: no {BOARD} that is believed here lists the file")
    return None


def _to_come(finished: str | None) -> bool:
    """Whether a time lies ahead, by more than clocks differ: such a run would be the newest one forever."""
    try:
        told = datetime.fromisoformat(finished or "")
    except ValueError:
        return False
    return (told if told.tzinfo else told.replace(tzinfo=UTC)) > datetime.now(UTC) + timedelta(days=1)


def _judge_errors(subject: _Subject, allow: Sequence[str]) -> Ruling | None:
    errors = [note for note in subject.record.findings if note.grave]
    if not errors:
        return None
    refused = [note for note in errors if note.check not in allow]
    if not refused:
        message = f"allowed: {', '.join(sorted({note.check for note in errors}))}"
        return subject.verdict(NO_ERRORS, True, message)
    told = "; ".join(f"{note.check}: {note.message}" for note in refused)
    hint = " ".join(f"--allow {check}" for check in sorted({note.check for note in refused}))
    return subject.verdict(NO_ERRORS, False, f"{told} (to accept it: {hint})")


def _judge_grade(requirement: Grade, subject: _Subject) -> Ruling:
    grade = subject.record.grade
    if grade is None:
        why = "it is a claim" if subject.record.claim else "cells are missing"
        return subject.verdict(requirement.text, False, f"it has no grade, for {why}")
    return subject.verdict(requirement.text, grade <= requirement.grade, f"grade {grade}")


@dataclass(frozen=True, eq=False)
class _Subject:
    record: Record
    label: str
    table: str
    model: tuple[str, str]
    """Name and subject: the same model stands in several tables."""

    def verdict(self, requirement: str, passed: bool, message: str) -> Ruling:
        return Ruling(
            requirement=requirement,
            subject=self.label,
            table=self.table,
            run=self.record.folder.name,
            passed=passed,
            message=message,
        )

    def score(self, floor: Floor) -> Score | None:
        """The cell that a floor is about, if the run's suite has it."""
        if floor.attack == CLEAN:
            return self.record.scores[CLEAN_PLACE]
        if floor.covered != (self.record.info.suite.threat == "patch"):
            return None
        scores = (score for score in self.record.scores.values() if _named(self.record, score) == floor.attack)
        return next((s for s in scores if math.isclose(s.epsilon, floor.epsilon, rel_tol=1e-9)), None)


def _subjects(records: Sequence[Record]) -> list[_Subject]:
    groups = grouped(records)
    names = wording.titles(make_tables(records))
    known = subjects(records)
    found = []
    for group, name in zip(groups, names, strict=True):
        found += [
            _Subject(record, label, name, row_key(record.info, known)[:2])
            for record, label in zip(group, labels_of(group), strict=True)
        ]
    return found


def _named(record: Record, score: Score) -> str:
    """What a requirement calls a cell: the mean over kinds of corruption is no worst case."""
    return MEAN if record.info.suite.threat == "corruption" and score.attack == WORST else score.attack


def _check_measured(floor: Floor, subjects: Sequence[_Subject]) -> None:
    named = [(_named(s.record, score), score) for s in subjects for score in s.record.scores.values()]
    scores = [score for name, score in named if name == floor.attack]
    if not scores:
        raise UnknownName("attack", floor.attack, {name for name, _ in named})
    if not any(subject.score(floor) for subject in subjects):
        measured = {score.epsilon: score.epsilon_label for score in scores}
        labels = ", ".join(label for _, label in sorted(measured.items()))
        raise UsageError(f"{floor.attack} was not measured there; measured at {labels}")


def _judge_floor(floor: Floor, subjects: Sequence[_Subject], confident: bool) -> list[Ruling]:
    verdicts: list[Ruling] = []
    judged = {subject.model for subject in subjects if subject.score(floor)}
    for subject in subjects:
        score = subject.score(floor)
        if score is None:
            if subject.model not in judged:
                judged.add(subject.model)  # said once
                verdicts.append(subject.verdict(floor.text, False, "this was not measured for the model"))
            continue
        if score.accuracy is None or score.ci95 is None:
            message = f"the cell is {score.status}, and what is not known does not pass"
            verdicts.append(subject.verdict(floor.text, False, message))
            continue
        value = score.ci95[0] if confident else score.accuracy
        reading = "lower end, " if confident else ""
        message = f"{reading}{row_text.score_text(score)} %, required {100 * floor.share:g} %"
        verdicts.append(subject.verdict(floor.text, value >= floor.share, message))
    return verdicts


def _judge_regression(requirement: NoRegression, subjects: Sequence[_Subject], boards: Sequence[Path]) -> list[Ruling]:
    folders = [requirement.folder]
    old = collect(folders, boards=[*boards, *alone(folders)])
    return [_regression(requirement, subject, old) for subject in subjects]


def _regression(requirement: NoRegression, subject: _Subject, old: Sequence[Record]) -> Ruling:
    info = subject.record.info
    same = [r for r in old if table_key(r.info) == table_key(info) and r.info.model.name == info.model.name]
    same = [r for r in same if r.info.seed == info.seed] or same
    if same and not any(record.standing > 1 for record in same):
        names = ", ".join(sorted(record.folder.name for record in same))
        message = f"{requirement.folder} has only claims and refuted runs of {info.model.name}: {names}"
        return subject.verdict(requirement.text, False, message)
    if not same:
        message = f"{requirement.folder} has no run of {info.model.name} on the same data slice, suite, grid and mode"
        return subject.verdict(requirement.text, False, message)
    same = [record for record in same if record.standing > 1]
    before = max(choose(same)[0], key=lambda record: (record.complete, record.info.finished or ""))
    if before.folder.resolve() == subject.record.folder.resolve():
        raise UsageError(f"requirement {requirement.text!r} would compare run {before.folder} with itself")
    lost = [p for p in places(before) if p in before.survivors and p not in subject.record.survivors]
    if lost:
        names = ", ".join(f"{attack} {label}" for attack, label in lost)
        return subject.verdict(requirement.text, False, f"not complete any more: {names}")
    cells, _ = paired_cells(subject.record, before)
    if not cells:
        return subject.verdict(
            requirement.text, False, f"run {before.folder.name} has no complete cell to compare with"
        )
    worse = [cell for cell in cells if cell.significant and cell.paired.difference < 0]
    if worse:
        drops = ", ".join(
            f"{cell.a.attack} {cell.a.epsilon_label} {100 * cell.paired.difference:+.1f} points (p = {cell.p_holm:.2g})"
            for cell in worse
        )
        return subject.verdict(requirement.text, False, f"significantly worse than run {before.folder.name}: {drops}")
    message = f"no cell of {len(cells)} is significantly worse than in run {before.folder.name}"
    return subject.verdict(requirement.text, True, message)
