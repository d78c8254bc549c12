"""What a row's own page says: classes, confusions, protocol and how the run was made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.evidence.costs import of_cell
from harness.evidence.run_info import RunInfo
from leaderboard.details import ClassScore, Confusion, Detail, Spent
from leaderboard.rows import CLEAN, WORST
from leaderboard.runs.means import shares_of
from leaderboard.runs.record import CLEAN_PLACE, JoinedRuns, Place, Record
from leaderboard.tables.checklist import checklist, command
from leaderboard.tables.danger import danger, ranked


def detail_of(record: Record) -> Detail:
    """Everything beyond the table, of one record."""
    if record.joined is not None:
        return _joined(record, record.joined)
    names = [str(name) for name in record.info.classes or ()]
    return Detail(
        card=record.info.card or {},
        classes=_classes(record, names),
        confusions=_confusions(record, names),
        checklist=checklist(record),
        command=command(record.info),
        facts=_facts(record.info),
        spent=_spent(record),
        pictures=record.pictures,
        no_pictures=record.no_pictures,
    )


def _joined(record: Record, joined: JoinedRuns) -> Detail:
    """Of a joined row what it was joined from; the rest stands with the two runs, whose samples it is about."""
    return Detail(
        card=record.info.card or {},
        classes=(),
        confusions=(),
        checklist=(),
        command="",
        facts={"on all samples": joined.cheap.folder.name, "on the first of them": joined.dear.folder.name},
        spent=(),
        pictures=(),
        no_pictures=record.no_pictures,
    )


def class_name(names: Sequence[str], label: int) -> str:
    """``stop``, or ``class 14`` where the run did not keep the names."""
    return names[label] if 0 <= label < len(names) else f"class {label}"


def _classes(record: Record, names: Sequence[str]) -> tuple[ClassScore, ...]:
    if CLEAN_PLACE not in record.survivors:
        return ()
    labels, places = record.labels, [(WORST, label) for label in record.info.suite.labels]
    size = int(labels.max(initial=0)) + 1
    totals = np.bincount(labels, minlength=size)
    clean = np.bincount(labels[record.survivors[CLEAN_PLACE]], minlength=size)
    worst = [_by_class(record, place, size) for place in places]
    return tuple(
        ClassScore(
            label,
            class_name(names, label),
            int(totals[label]),
            int(clean[label]),
            tuple(None if counts is None else counts[label] for counts in worst),
        )
        for label in np.flatnonzero(totals).tolist()
    )


def _by_class(record: Record, place: Place, size: int) -> list[float] | None:
    """How many of each class stand in a cell, of a mean over kinds the mean number; None if one is missing."""
    if record.info.suite.threat == "corruption":
        shares = shares_of(record.info, record.survivors, place[1])
        return None if shares is None else np.bincount(record.labels, weights=shares, minlength=size).round(4).tolist()
    right = record.survivors.get(place)
    return None if right is None else np.bincount(record.labels[right], minlength=size).tolist()


def _confusions(record: Record, names: Sequence[str]) -> tuple[Confusion, ...]:
    known = ranked(names)
    found = []
    for label in ("0", *record.info.suite.labels):
        here = []
        for sign, read_as, count in record.mistakes.get(label, ()):
            inside = known and max(sign, read_as) < len(names) and sign != read_as
            level, why = danger(names[sign], names[read_as]) if inside else (0, "")
            here.append(Confusion(epsilon_label=label, label=sign, read_as=read_as, count=count, danger=level, why=why))
        found += sorted(here, key=lambda c: (-c.danger, -c.count, c.label, c.read_as))
    return tuple(found)


def _spent(record: Record) -> tuple[Spent, ...]:
    found = []
    for (attack, label), score in record.scores.items():
        if attack not in (CLEAN, WORST):
            told = of_cell(record.info, attack, label)
            found.append(
                Spent(
                    attack=attack,
                    epsilon_label=label,
                    forwards=score.forwards,
                    backwards=score.backwards,
                    seconds=told.get("seconds"),
                    peak_memory=told.get("peak_memory"),
                    useful_gradients=told.get("useful_gradients"),
                )
            )
    attacks = [str(attack.id) for attack in record.info.suite.attacks]
    return tuple(sorted(found, key=lambda spent: attacks.index(spent.attack)))


def seconds_of(record: Record) -> float | None:
    """Seconds of computing, of a joined row those of both runs; None where they are not known."""
    runs = (record,) if record.joined is None else (record.joined.cheap, record.joined.dear)
    told = [_seconds(run.info, _spent(run)) for run in runs]
    known = [seconds for seconds in told if seconds is not None]
    return round(sum(known), 3) if len(known) == len(told) else None


def _seconds(info: RunInfo, spent: Sequence[Spent]) -> float | None:
    told = [cell.seconds for cell in spent if cell.forwards or cell.backwards or cell.seconds is not None]
    known = [seconds for seconds in told if seconds is not None]
    if known and len(known) == len(told):
        return round(sum(known), 3)
    # A run without a ledger tells the time of its own sessions, in which units taken over cost nothing.
    return None if info.reused else float(info.seconds)


def _facts(info: RunInfo) -> dict[str, str]:
    """How the run was made, in words; what an old run did not keep is left out."""
    plan = info.plan
    found = {
        "run": info.run_name or info.run,
        "key": info.key,
        "started": info.started,
        "finished": info.finished or "",
        "device": info.device.name,
        "threads": str(info.threads or ""),
        "batch size": "" if plan is None else str(plan.batch_size),
        "precision": "" if plan is None else plan.precision,
        "seed of the attacks": str(info.seed),
        "answer": "" if info.randomness is None else info.randomness.words,
        "sessions": str(info.sessions or ""),
        "out of memory": str(info.out_of_memory),
        "unconfirmed proposals": str(info.unconfirmed),
        "adaptations tried": ", ".join(attack.id for attack in info.suite.attacks if attack.adapt) or "none",
        "witnesses kept": info.witnesses,
        "source": _source(info.git or {}),
    }
    found |= {str(name): str(value) for name, value in info.versions.items()}
    return {name: value for name, value in found.items() if value}


def _source(git: Mapping[str, Any]) -> str:
    revision = str(git.get("revision") or git.get("commit") or "")
    return f"{revision[:12]}{', with changes' if git.get('dirty') else ''}" if revision else ""


def top_confusions(confusions: Sequence[Confusion], epsilon_label: str, count: int) -> list[Confusion]:
    """The first `count` at one epsilon: the most dangerous, and of those the most frequent."""
    return [confusion for confusion in confusions if confusion.epsilon_label == epsilon_label][:count]


def samples(confusions: Sequence[Confusion]) -> Counter[int]:
    """Samples by danger."""
    found: Counter[int] = Counter()
    for confusion in confusions:
        found[confusion.danger] += confusion.count
    return found
