"""Results folders to records: every number is counted again from the facts, nothing is taken from summary.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harness import facts as fact
from harness.errors import BadRun
from harness.metrics import cells, clean_accuracy, wilson, worst_case
from harness.store import RunStore
from harness.summary import summarize
from leaderboard.check import check_facts, check_info, check_summary
from leaderboard.rows import CLEAN, WORST, Score
from leaderboard.stats import Survivors

Place = tuple[str, str]
"""Attack id (or ``clean``, ``worst``) and epsilon label."""
CLEAN_PLACE: Place = (CLEAN, "0")


@dataclass(frozen=True, eq=False)
class Record:
    """One run, counted."""

    folder: Path
    info: Mapping[str, Any]
    """The content of run.json; the keys that are used were checked."""
    scores: Mapping[Place, Score]
    """Clean, every attack and the worst case, at every epsilon of the grid."""
    survivors: Mapping[Place, Survivors]
    """Of complete scores: which samples, in the order of `sample_ids`, are right and not broken."""
    sample_ids: np.ndarray
    labels: np.ndarray

    @property
    def complete(self) -> bool:
        """Whether the run finished and every cell has a number."""
        return self.info["status"] == "complete" and all(score.status == "ok" for score in self.scores.values())


def worst_is_attack(info: Mapping[str, Any]) -> bool:
    """Whether worst case and attack are the same by construction: a single attack, which inherits its witnesses."""
    attacks = info["suite"]["attacks"]
    return len(attacks) == 1 and attacks[0]["iterative"] and info["mode"] != "faithful"


def collect(folders: Iterable[Path]) -> list[Record]:
    """All runs in `folders`, each a run or a folder of runs; one given twice counts once.

    Raises:
        BadRun: a folder does not exist or holds no run, or a run is unreadable, contradicts itself, or has a summary
            that its facts do not confirm; names the run.
    """
    found: dict[Path, Path] = {}
    for folder in folders:
        for run in find_runs(folder):
            found.setdefault(run.resolve(), run)
    return [read_run(run) for run in found.values()]


def find_runs(folder: Path) -> list[Path]:
    """The folder itself if it is a run, else the runs in it, by name; raises `BadRun` if there is none."""
    if not folder.is_dir():
        raise BadRun(f"results folder {str(folder)!r} does not exist; measure something first with `harness eval`")
    if (folder / "run.json").is_file():
        return [folder]
    runs = sorted(path.parent for path in folder.glob("*/run.json"))
    if not runs:
        raise BadRun(f"results folder {str(folder)!r} holds no run; measure something first with `harness eval`")
    return runs


def read_run(folder: Path) -> Record:
    """Read and count one run; raises as `collect`."""
    store = RunStore(folder)
    info = store.read_json("run.json")
    check_info(info, folder / "run.json")
    facts = store.all_facts()
    check_facts(info, facts, folder)
    if info["status"] == "complete" and (folder / "summary.json").exists():
        check_summary(store.read_json("summary.json"), summarize(info, facts), folder)
    return _count(folder, info, facts)


def _count(folder: Path, info: Mapping[str, Any], facts: pa.Table) -> Record:
    n, grid = info["data"]["n"], dict(zip(info["suite"]["grid"], info["suite"]["epsilons"], strict=True))
    attacks = [attack["id"] for attack in info["suite"]["attacks"]]
    whole = facts.filter(pc.is_null(facts["component"]))
    right, seen = clean_accuracy(facts)
    scores: dict[Place, Score] = {CLEAN_PLACE: _score(CLEAN, 0.0, "0", n, "ok" if seen == n else "partial", right)}
    counted = {(cell.attack, cell.epsilon_label): cell for cell in cells(facts) if cell.component is None}
    for attack in attacks:
        for label, epsilon in grid.items():
            cell = counted.get((attack, label))
            if cell is None:
                scores[attack, label] = _score(attack, epsilon, label, n, "missing", 0)
                continue
            # An interrupted run may lack whole chunks, of which the cell knows nothing.
            status = "partial" if cell.status == "ok" and cell.n < n else cell.status
            left = cell.clean_correct - cell.broken
            scores[attack, label] = _score(attack, epsilon, label, n, status, left, cell.forwards, cell.backwards)
    unions = {union.epsilon_label: union for union in worst_case(facts)}
    complete = scores[CLEAN_PLACE].status == "ok"
    for label, epsilon in grid.items():
        # The union reaches down to smaller balls, so it needs their cells as well.
        complete = complete and all(scores[attack, label].status == "ok" for attack in attacks)
        status = "ok" if complete else "missing"
        scores[WORST, label] = _score(WORST, epsilon, label, n, status, unions[label].surviving if complete else 0)
    ids, labels, survivors = _survivors(whole, scores, folder)
    return Record(folder, info, scores, survivors, ids, labels)


def _score(
    attack: str, epsilon: float, label: str, n: int, status: str, correct: int, forwards: int = 0, backwards: int = 0
) -> Score:
    if status != "ok":
        return Score(attack, epsilon, label, n, status, forwards=forwards, backwards=backwards)
    return Score(attack, epsilon, label, n, status, correct, wilson(correct, n), forwards, backwards)


def _survivors(
    whole: pa.Table, scores: Mapping[Place, Score], folder: Path
) -> tuple[np.ndarray, np.ndarray, dict[Place, Survivors]]:
    """Sample ids ascending, their labels, and who survives in each complete score."""
    if scores[CLEAN_PLACE].status != "ok":
        return np.empty(0, np.int64), np.empty(0, np.int64), {}
    everyone, outcomes, labels = _column(whole, CLEAN_PLACE)
    right = outcomes == "survived"
    found = {CLEAN_PLACE: right}
    broken = np.zeros(len(everyone), bool)
    for place, score in sorted(scores.items(), key=lambda item: (item[1].epsilon, item[0][0] == WORST)):
        if score.status != "ok" or place == CLEAN_PLACE:
            continue
        if place[0] == WORST:
            found[place] = right & ~broken
            continue
        ids, outcomes, _ = _column(whole, place)
        if not np.array_equal(ids, everyone) or not np.array_equal(outcomes != "clean_wrong", right):
            raise BadRun(f"run {folder}: {place[0]} at {place[1]} does not fit its clean pass; run it with --fresh")
        found[place] = outcomes == "survived"
        broken |= np.isin(outcomes, fact.BROKEN)
    return everyone, labels, found


def _column(whole: pa.Table, place: Place) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sample ids ascending, with outcomes and labels, of one attack at one epsilon."""
    part = whole.filter(pc.and_(pc.equal(whole["attack"], place[0]), pc.equal(whole["epsilon_label"], place[1])))
    order = np.argsort(part["sample_id"].to_numpy(), kind="stable")
    outcomes = part["outcome"].to_numpy(zero_copy_only=False)
    return part["sample_id"].to_numpy()[order], outcomes[order], part["label"].to_numpy()[order]
