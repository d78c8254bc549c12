"""Results folders to records: every number is counted again from the facts, nothing is taken from summary.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from harness.base.statistics import wilson
from harness.errors import BadRun, HarnessError
from harness.evidence.facts import BROKEN
from harness.evidence.metrics import cells, clean_accuracy, worst_case
from harness.evidence.run_info import RunInfo
from harness.evidence.store import RunStore
from harness.evidence.summary import summarize
from harness.trust.diagnosis import verdict
from harness.trust.ledger import Line, content_hash, read_ledger
from leaderboard.rows import CLEAN, UNVERIFIED, WORST, Note, Score
from leaderboard.runs.board import read_board
from leaderboard.runs.check import check_facts, check_summary
from leaderboard.runs.estimated import of_run
from leaderboard.runs.means import with_means
from leaderboard.runs.published import ENDING, read_published
from leaderboard.runs.record import CLEAN_PLACE, Mistakes, Place, Record, Survivors


def collect(
    folders: Iterable[Path], skipped: list[BadRun] | None = None, boards: Iterable[Path] | None = None
) -> list[Record]:
    """All runs in `folders`, each a run, a published file, or a folder of either; one given twice counts once.

    Args:
        folders: Where the runs are.
        skipped: Takes the reasons why runs were left out; None refuses all of them for one.
        boards: Folders whose boards are believed; None for `alone`. Published files elsewhere are claims.

    Raises:
        BadRun: a folder does not exist or holds no run, a board is damaged, or a run (with `skipped`, every one) is
            unreadable, contradicts itself, has a summary that its facts do not confirm, or other samples than others
            of its data slice; names the run.
        FileError: the ledger of verifications cannot be read.
    """
    found: dict[Path, Path] = {}
    folders = list(folders)
    believed = {folder.resolve() for folder in (alone(folders) if boards is None else boards)}
    for folder in folders:
        for run in find_runs(folder):
            found.setdefault(run.resolve(), run)
    ledger = read_ledger()
    beside = {run.parent for run in found.values() if run.is_file()}
    listed = {folder: read_board(folder) if folder.resolve() in believed else {} for folder in beside}
    records, bad = [], []
    for run in found.values():
        try:
            records.append(read_published(run, listed[run.parent]) if run.is_file() else read_run(run, ledger))
        except BadRun as error:
            bad.append(error)
            if skipped is None:
                raise
    records, foreign = _on_their_slice(records)
    if foreign and skipped is None:
        raise foreign[0]
    bad += foreign
    if bad and not records:
        raise bad[0]
    if skipped is not None:
        skipped += bad
    return records


def _on_their_slice(records: Sequence[Record]) -> tuple[list[Record], list[BadRun]]:
    """Leave out runs whose samples are not those of their slice: of the run believed most, then of most runs."""
    samples: dict[Record, tuple[bytes, bytes]] = {}
    groups: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        if record.survivors:
            samples[record] = record.sample_ids.tobytes(), record.labels.tobytes()
            groups.setdefault((record.info.data.slice, record.info.data.n), []).append(record)
    bad: dict[Record, BadRun] = {}
    for group in groups.values():
        alike = Counter(samples[record] for record in group)
        best = max(group, key=lambda record: (record.standing, alike[samples[record]], record.info.key))
        for record in group:
            if samples[record] != samples[best]:
                bad[record] = BadRun(
                    f"run {record.folder} and run {best.folder} name the same data slice but hold other samples;"
                    " verify both"
                )
    return [record for record in records if record not in bad], list(bad.values())


def alone(folders: Sequence[Path]) -> list[Path]:
    """The folder whose board is believed without a word: the only one named, with published files and no runs.

    Beside runs, or runs of others, a board may have come with a submission.
    """
    named = {folder.parent.resolve() if folder.is_file() else folder.resolve() for folder in folders}
    return [folder for folder in named if len(named) == 1 and not any(folder.glob("*/run.json"))]


def find_runs(folder: Path) -> list[Path]:
    """The folder itself if it is a run, else the runs and published files in it, by name.

    Raises:
        BadRun: there is none.
    """
    if folder.name.endswith(ENDING) and folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise BadRun(f"results folder {str(folder)!r} does not exist; measure something first with `harness eval`")
    if (folder / "run.json").is_file():
        return [folder]
    runs = sorted([*(path.parent for path in folder.glob("*/run.json")), *folder.glob(f"*{ENDING}")])
    if not runs:
        raise BadRun(f"results folder {str(folder)!r} holds no run; measure something first with `harness eval`")
    return runs


def read_run(folder: Path, ledger: Mapping[str, Line] | None = None) -> Record:
    """Read and count one run; raises as `collect`.

    Args:
        folder: The run.
        ledger: Verifications by content, see `harness.trust.ledger`; None knows of none.
    """
    try:
        return _read(folder, ledger)
    except HarnessError:
        raise
    except Exception as error:  # a run may come from anybody, and its parameters may be anything
        raise BadRun(
            f"run {folder} cannot be counted ({type(error).__name__}: {str(error)[:200]}); it was altered or is of"
            " another version"
        ) from error


def _read(folder: Path, ledger: Mapping[str, Line] | None) -> Record:
    store = RunStore(folder)
    info = store.read_info()
    facts = store.all_facts()
    check_facts(info, facts, folder)
    findings, grade = verdict(info, facts)
    if info.status == "complete" and (folder / "summary.json").exists():
        check_summary(store.read_json("summary.json"), summarize(info, facts, findings, grade), folder)
    line = ledger.get(content_hash(folder)) if ledger else None
    notes = tuple(Note(finding.check, finding.level, finding.message) for finding in findings)
    scores = _scores(info, facts)
    ids, labels, survivors, mistakes, attacked = _samples(
        facts.filter(pc.is_null(facts["component"])), scores, folder, info.suite.threat == "corruption"
    )
    worst, stages = of_run(info, survivors, attacked) if info.estimated else ({}, {})
    if info.suite.threat == "corruption":
        worst = with_means(info, scores, survivors)
    verified = line.verdict if line else UNVERIFIED
    return Record(
        folder=folder,
        info=info,
        scores=scores | worst,
        survivors=survivors,
        attacked=attacked,
        stages=stages,
        sample_ids=ids,
        labels=labels,
        mistakes=mistakes,
        findings=notes,
        grade=grade,
        verified=verified,
    )


def _scores(info: RunInfo, facts: pa.Table) -> dict[Place, Score]:
    """Every cell as `harness.evidence.metrics` judges it; those without a fact, and estimates, are missing."""
    n, grid = info.data.n, {epsilon.label: epsilon.value for epsilon in info.suite.grid}
    attacks = [attack.id for attack in info.suite.attacks]
    right, seen = clean_accuracy(facts)
    scores: dict[Place, Score] = {CLEAN_PLACE: _score(CLEAN, 0.0, "0", n, "ok" if seen == n else "partial", right)}
    counted = {(cell.attack, cell.epsilon_label): cell for cell in cells(facts, info.drawn) if cell.component is None}
    for attack in attacks:
        for label, epsilon in grid.items():
            cell = counted.get((attack, label))
            if cell is None:
                scores[attack, label] = _score(attack, epsilon, label, info.drawn[attack], "missing", 0)
                continue
            left, given = cell.clean_correct - cell.broken, info.drawn[attack]
            cost = cell.forwards, cell.backwards
            scores[attack, label] = _score(attack, epsilon, label, given, cell.status, left, *cost)
    # Of an estimate, and of a mean over kinds, others know.
    unions = (
        {}
        if info.estimated or info.suite.threat == "corruption"
        else {u.epsilon_label: u for u in worst_case(facts, n, len(attacks), adapted=info.suite.adapted)}
    )
    for label, epsilon in grid.items():
        union = unions.get(label)
        status = "ok" if union is not None and union.complete and seen == n else "missing"
        scores[WORST, label] = _score(WORST, epsilon, label, n, status, union.surviving if union is not None else 0)
    return scores


def _score(
    attack: str, epsilon: float, label: str, n: int, status: str, correct: int, forwards: int = 0, backwards: int = 0
) -> Score:
    if status != "ok":
        return Score(
            attack=attack,
            epsilon=epsilon,
            epsilon_label=label,
            n=n,
            status=status,
            forwards=forwards,
            backwards=backwards,
        )
    return Score(
        attack=attack,
        epsilon=epsilon,
        epsilon_label=label,
        n=n,
        status=status,
        correct=correct,
        ci95=wilson(correct, n),
        forwards=forwards,
        backwards=backwards,
    )


def _samples(
    whole: pa.Table, scores: Mapping[Place, Score], folder: Path, corrupted: bool
) -> tuple[np.ndarray, np.ndarray, dict[Place, Survivors], dict[str, Mistakes], dict[str, NDArray[np.bool_]]]:
    """Sample ids ascending, their labels, who survives in each complete score, who is read as what, who was attacked.

    A sample counts as read the way its witness at the smallest epsilon is read, of those the one of the first attack;
    `corrupted` it counts at each severity under each kind that is misread.
    """
    if scores[CLEAN_PLACE].status != "ok":
        return np.empty(0, np.int64), np.empty(0, np.int64), {}, {}, {}
    clean = _column(whole, CLEAN_PLACE)
    right = clean.outcomes == "survived"
    found, mistakes = {CLEAN_PLACE: right}, {"0": _mistakes(clean.labels, clean.clean_pred, ~right)}
    broken, read_as = np.zeros(len(right), bool), np.full(len(right), -1)
    attacks, attacked = [attack for attack, _ in scores], dict[str, NDArray[np.bool_]]()
    for place, score in sorted(scores.items(), key=lambda item: (item[1].epsilon, attacks.index(item[0][0]))):
        if place == CLEAN_PLACE or (score.status != "ok" and (corrupted or place[0] == WORST)):
            continue
        if place[0] == WORST:
            found[place] = right & ~broken
            mistakes[score.epsilon_label] = _mistakes(clean.labels, read_as, broken)
            continue
        column = _column(whole, place)
        given = np.isin(clean.ids, column.ids)
        if corrupted:  # every image is judged, also where the clean one is misread
            found[place] = column.outcomes == "survived"
            misread = _mistakes(column.labels, column.adv_pred, ~found[place])
            mistakes[place[1]] = _summed(mistakes.get(place[1], ()), misread)
            continue
        rows = np.flatnonzero(given)
        if len(rows) != len(column.ids) or not _fits(column, right[given], score.status):
            raise BadRun(f"run {folder}: {place[0]} at {place[1]} does not fit its clean pass; run it with --fresh")
        if score.status == "ok":
            if not given.all() and not np.array_equal(attacked.setdefault(place[0], given), given):
                raise BadRun(f"run {folder}: {place[0]} attacks other samples at {place[1]} than at smaller epsilons")
            found[place] = np.zeros(len(right), bool)
            found[place][rows] = column.outcomes == "survived"
        # Also what an attack broke whose cell is not complete: the worst case may be, all the same.
        new = np.isin(column.outcomes, BROKEN) & ~broken[rows]
        read_as[rows[new]] = column.adv_pred[new]
        broken[rows] |= new
    return clean.ids, clean.labels, found, mistakes, attacked


def _fits(column: _Column, right: np.ndarray, status: str) -> bool:
    """Whether the samples that are wrong unperturbed are those of the clean pass; `right` is about the column's."""
    return status != "ok" or np.array_equal(column.outcomes != "clean_wrong", right)


def _mistakes(labels: np.ndarray, read_as: np.ndarray, wrong: np.ndarray) -> Mistakes:
    """Pairs of classes with their numbers; samples whose prediction was not kept (below 0) are left out."""
    known = wrong & (read_as >= 0)
    pairs, counts = np.unique(np.stack([labels[known], read_as[known]], 1), axis=0, return_counts=True)
    return tuple((int(a), int(b), int(count)) for (a, b), count in zip(pairs, counts, strict=True))


def _summed(one: Mistakes, other: Mistakes) -> Mistakes:
    """Pairs of classes with the sums of both numbers."""
    total = Counter({(a, b): count for a, b, count in one}) + Counter({(a, b): count for a, b, count in other})
    return tuple((a, b, count) for (a, b), count in sorted(total.items()))


@dataclass(frozen=True, eq=False)
class _Column:
    """One attack at one epsilon, by ascending sample id; predictions that were not kept are -1."""

    ids: np.ndarray
    labels: np.ndarray
    outcomes: np.ndarray
    clean_pred: np.ndarray
    adv_pred: np.ndarray


def _column(whole: pa.Table, place: Place) -> _Column:
    part = whole.filter(pc.and_(pc.equal(whole["attack"], place[0]), pc.equal(whole["epsilon_label"], place[1])))
    order = np.argsort(part["sample_id"].to_numpy(), kind="stable")
    return _Column(
        part["sample_id"].to_numpy()[order],
        part["label"].to_numpy()[order],
        part["outcome"].to_numpy(zero_copy_only=False)[order],
        part["clean_pred"].fill_null(-1).to_numpy()[order],
        part["adv_pred"].fill_null(-1).to_numpy()[order],
    )
