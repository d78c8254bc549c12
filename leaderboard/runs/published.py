"""A run small enough for a repository: who survives in every cell, packed into bits, and no facts and no witnesses.

A published file gives the same `Record` as its run, so that tables, comparisons, gates and pages come out of it by
the same road. Numbers are counted from the bits, not stored. What it cannot do is prove anything: `harness verify`
needs the run. Verdict and grade are the word of the board that lists the file (`leaderboard.runs.board`); a file that
none lists is a claim, without grade and pictures.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from harness.base.statistics import wilson
from harness.errors import BadRun
from harness.evidence.facts import SCHEMA_VERSION
from harness.evidence.run_info import RunInfo
from harness.evidence.run_json import parse
from harness.evidence.structs import as_json
from harness.evidence.suite_info import SuiteInfo
from harness.trust.diagnosis.names import names
from leaderboard.details import Picture
from leaderboard.estimates import ESTIMATED
from leaderboard.rows import CLAIMED, WORST, Note, Score
from leaderboard.runs.board import Listed, hash_of
from leaderboard.runs.estimated import of_run
from leaderboard.runs.means import with_means
from leaderboard.runs.record import CLEAN_PLACE, Mistakes, Place, Record, Survivors

ENDING = ".run.json"
KIND = "published run"
LONGEST = 200
"""Bytes of a run's name: an ending has room behind them on every file system."""
MOST = 2**24
"""Samples of a published file: as many bits unpacked for every cell are no strain on a machine."""
STATUSES = ("ok", ESTIMATED, "partial", "missing", "refused")
_IMAGES = ("clean", "perturbation", "adversarial")


def dump(record: Record) -> str:
    """The published file of a record, as text: a line for each part."""
    given = record.info.given
    content = {
        "kind": KIND,
        "schema": SCHEMA_VERSION,
        "name": record.folder.name,
        "grade": record.grade,
        "verified": record.verified,
        "findings": [asdict(note) for note in record.findings],
        "ids": _pack(np.diff(record.sample_ids, prepend=0).astype("<i4")),
        "labels": _pack(record.labels.astype("<i4")),
        **(
            {"attacked": {name: _pack(np.packbits(mask)) for name, mask in record.attacked.items()}}
            if record.attacked
            else {}
        ),
        "cells": [_cell(score, record.survivors.get(place)) for place, score in record.scores.items()],
        "mistakes": record.mistakes,
        "pictures": [_picture(picture) for picture in record.pictures],
        "no_pictures": record.no_pictures,
        # Where the run lies on the publisher's disk is nobody's business.
        "info": as_json(structs.replace(record.info, run=record.folder.name, given=given and given.public)),
    }
    lines = (f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in content.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def read_published(path: Path, listed: Mapping[str, Listed] | None = None) -> Record:
    """The record of a published file.

    Args:
        path: The file.
        listed: What the board beside it lists, see `leaderboard.runs.board.read_board`; a file that is not there, by
            the hash of its bytes, is a claim.

    Raises:
        BadRun: not a published file, or one that contradicts itself; names the file and what is wrong.
    """
    try:
        raw = path.read_bytes()
        content = json.loads(raw.decode("utf-8"))
        if content["kind"] != KIND or content["schema"] != SCHEMA_VERSION:
            raise ValueError(f"it is a {content['kind']!r:.40} of schema {content['schema']!r:.10}")
        record = _record(path, content, parse(content["info"], path))
        return _judged(record, (listed or {}).get(hash_of(raw)), path)
    except OSError as error:
        raise BadRun(f"{path} cannot be read: {error.strerror or error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, zlib.error) as error:
        said = f"key {error} is missing" if isinstance(error, KeyError) else str(error)
        raise BadRun(f"{path} is no published run of this version ({said:.200}); publish it again") from None


def _record(path: Path, content: Mapping[str, Any], info: RunInfo) -> Record:
    if info.data.n > MOST:
        raise ValueError(f"its n is {info.data.n:,}, more than {MOST:,}")
    n, grid = info.data.n, {epsilon.label: epsilon.value for epsilon in info.suite.grid}
    steps, labels = (_unpack(content[name], 4 * n).view("<i4").astype(np.int64) for name in ("ids", "labels"))
    ids = np.cumsum(steps)
    scores: dict[Place, Score] = {}
    survivors: dict[Place, Survivors] = {}
    attacked = _attacked(content, info)
    corrupts = info.suite.threat == "corruption"
    for cell in content["cells"]:
        place = str(cell["attack"]), str(cell["epsilon_label"])
        if corrupts and place[0] == WORST:
            continue  # a mean, which has no survivors; it is counted below
        epsilon = 0.0 if place == CLEAN_PLACE else grid[place[1]]
        scores[place], alive = _score(cell, place, float(epsilon), n, attacked.get(place[0]))
        if alive is not None:
            survivors[place] = alive
    attacks = [attack.id for attack in info.suite.attacks]
    expected = {CLEAN_PLACE, *((attack, label) for attack in (*attacks, WORST) for label in grid)}
    if corrupts:
        scores = with_means(info, scores, survivors)
    if set(scores) != expected:
        raise ValueError(f"its cells are not those of its suite: {sorted(set(scores) ^ expected)[:2]}")
    if not corrupts:
        _check_survivors(survivors, info.suite, list(grid))
    if (len(ids), len(labels)) != ((n, n) if survivors else (0, 0)) or (np.diff(ids) <= 0).any() or (labels < 0).any():
        raise ValueError("ids and labels do not fit its n")
    worst, stages = of_run(info, survivors, attacked) if info.estimated else ({}, {})
    if {*worst} != {place for place, score in scores.items() if score.status == ESTIMATED}:
        raise ValueError("its estimates are not those of its cells")
    return Record(
        folder=path.with_name(_folder(str(content["name"]))),
        info=info,
        scores=scores | worst,
        survivors=survivors,
        attacked=attacked,
        stages=stages,
        sample_ids=ids,
        labels=labels,
        mistakes={str(label): _mistakes(pairs) for label, pairs in content["mistakes"].items()},
        findings=_findings(content["findings"], info),
        grade=None if content["grade"] is None else str(content["grade"]),
        verified=CLAIMED,
        pictures=tuple(_read_picture(picture) for picture in content["pictures"]),
        no_pictures=str(content["no_pictures"]),
    )


def _folder(name: str) -> str:
    """The name of the run's folder, by which it is shown, and published again."""
    if not name.isprintable() or not 0 < len(name.encode()) <= LONGEST or name in (".", "..") or "/" in name:
        raise ValueError(f"its name {name!r:.40} is none for a folder")
    return name


def _findings(told: Sequence[Mapping[str, Any]], info: RunInfo) -> tuple[Note, ...]:
    """The file's, and those that need nothing but its run.json, whether the file has them or not."""
    notes = [Note(str(f["check"]), str(f["level"]), str(f["message"])) for f in told]
    here = [Note(finding.check, finding.level, finding.message) for finding in names(info)]
    return (*notes, *(note for note in here if note not in notes))


def _judged(record: Record, entry: Listed | None, path: Path) -> Record:
    """The record with the board's verdict, or as a claim: no grade, and no image that nobody here has seen."""
    if entry is None:
        return replace(record, grade=None, pictures=(), no_pictures="a claim's pictures are not shown")
    suite, data = record.info.suite, record.info.data
    if (entry.suite, entry.slice) != (suite.label, data.slice):
        raise BadRun(
            f"{path} is of suite {suite.label} on slice {data.slice:.19}, but its board lists it as {entry.suite:.40}"
            f" on {entry.slice:.19}; publish it again"
        )
    return replace(record, verified=entry.verdict, listed=True)


def _check_survivors(survivors: Mapping[Place, Survivors], suite: SuiteInfo, grid: Sequence[str]) -> None:
    """Refuse who survives an attack without being classified, and a worst case that is not the attacks' union.

    Where adapted attacks answer for others (`harness.evidence.metrics.worst_case`) it may be lower: what those broke
    before they failed is not in the file.
    """
    clean = survivors.get(CLEAN_PLACE)
    if clean is None:
        if survivors:
            raise ValueError("it has cells, but no clean accuracy")
        return
    standing, whole, answered = clean.copy(), True, set[str]()
    for label in grid:
        answered |= {name for name in suite.adapted if (name, label) in survivors}
        for attack in (attack.id for attack in suite.attacks):
            alive = survivors.get((attack, label))
            whole &= alive is not None
            if alive is not None:
                if (alive & ~clean).any():
                    raise ValueError(f"samples survive {attack} at {label} that are misclassified anyway")
                standing &= alive
        worst = survivors.get((WORST, label))
        if worst is None:
            continue
        instead = not whole and bool(answered) and not (worst & ~standing).any()
        if not instead and not (whole and np.array_equal(worst, standing)):
            raise ValueError(f"its worst case at {label} is not that of its attacks")


def _cell(score: Score, alive: Survivors | None) -> dict[str, Any]:
    cost = {} if score.attack == WORST else {"forwards": score.forwards, "backwards": score.backwards}
    packed = None if alive is None else _pack(np.packbits(alive))
    where = {"attack": score.attack, "epsilon_label": score.epsilon_label, "status": score.status}
    return where | cost | {"survivors": packed}


def _attacked(content: Mapping[str, Any], info: RunInfo) -> dict[str, NDArray[np.bool_]]:
    """Of attacks that ran on the first samples only, which those are; the rest ran on all."""
    n = info.data.n
    found = {str(name): _mask(packed, n) for name, packed in content.get("attacked", {}).items()}
    wanted = {name: count for name, count in info.drawn.items() if count < n}
    if {name: int(mask.sum()) for name, mask in found.items()} != wanted:
        raise ValueError("the samples that were attacked are not as many as its run.json says")
    return found


def _mask(packed: str, n: int) -> NDArray[np.bool_]:
    bits = _unpack(packed, -(-n // 8))
    if len(bits) != -(-n // 8):
        raise ValueError("its packed bits are not as many as its n")
    return np.unpackbits(bits, count=n).astype(bool)


def _score(
    cell: Mapping[str, Any], place: Place, epsilon: float, n: int, given: NDArray[np.bool_] | None
) -> tuple[Score, Survivors | None]:
    status = cell["status"]
    if status not in STATUSES or (status == "ok") != (cell["survivors"] is not None):
        raise ValueError(f"{place[0]} at {place[1]} has status {status!r:.20}")
    score = Score(
        attack=place[0],
        epsilon=epsilon,
        epsilon_label=place[1],
        n=n if given is None else int(given.sum()),
        status=status,
        forwards=int(cell.get("forwards", 0)),
        backwards=int(cell.get("backwards", 0)),
    )
    if status != "ok":
        return score, None
    alive = _mask(cell["survivors"], n)
    if given is not None and (alive & ~given).any():
        raise ValueError(f"samples survive {place[0]} at {place[1]} that it was not given")
    correct = int(alive.sum())
    return replace(score, correct=correct, ci95=wilson(correct, score.n)), alive


def _mistakes(pairs: Any) -> Mistakes:
    return tuple((int(sign), int(read_as), int(count)) for sign, read_as, count in pairs)


def _picture(picture: Picture) -> dict[str, Any]:
    found = asdict(picture)
    return found | {name: base64.b64encode(found[name]).decode() for name in _IMAGES}


def _read_picture(content: Mapping[str, Any]) -> Picture:
    images = {name: base64.b64decode(content[name], validate=True) for name in _IMAGES}
    if not all(image.startswith(b"\x89PNG\r\n") for image in images.values()):
        raise ValueError("a picture is no PNG")
    return Picture(**{**content, **images})


def _pack(values: NDArray[Any]) -> str:
    return base64.b64encode(zlib.compress(values.tobytes(), 9)).decode()


def _unpack(text: str, limit: int) -> NDArray[np.uint8]:
    """The bytes again, at most `limit` of them, so that a small file cannot ask for all memory."""
    unpacker = zlib.decompressobj()
    found = unpacker.decompress(base64.b64decode(text, validate=True), max(limit, 1))
    if unpacker.unconsumed_tail or len(found) > limit:
        raise ValueError("packed data are longer than its n")
    return np.frombuffer(found, np.uint8)
