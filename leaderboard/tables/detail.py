"""What a row's own page says: classes, confusions, protocol and how the run was made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.evidence.costs import of_cell
from leaderboard.rows import CLEAN, WORST, ClassScore, Confusion, Detail, Spent
from leaderboard.runs.record import CLEAN_PLACE, Record
from leaderboard.tables.checklist import checklist, command
from leaderboard.tables.danger import danger, ranked


def detail_of(record: Record) -> Detail:
    """Everything beyond the table, of one record."""
    names = [str(name) for name in record.info.get("classes") or ()]
    return Detail(
        card=record.info["card"] or {},
        classes=_classes(record, names),
        confusions=_confusions(record, names),
        checklist=checklist(record),
        command=command(record.info),
        facts=_facts(record.info),
        spent=_spent(record),
        pictures=record.pictures,
        no_pictures=record.no_pictures,
    )


def class_name(names: Sequence[str], label: int) -> str:
    """``stop``, or ``class 14`` where the run did not keep the names."""
    return names[label] if 0 <= label < len(names) else f"class {label}"


def _classes(record: Record, names: Sequence[str]) -> tuple[ClassScore, ...]:
    if CLEAN_PLACE not in record.survivors:
        return ()
    labels, places = record.labels, [(WORST, label) for label in record.info["suite"]["grid"]]
    size = int(labels.max(initial=0)) + 1
    totals = np.bincount(labels, minlength=size)
    clean = np.bincount(labels[record.survivors[CLEAN_PLACE]], minlength=size)
    worst = [
        np.bincount(labels[record.survivors[place]], minlength=size) if place in record.survivors else None
        for place in places
    ]
    return tuple(
        ClassScore(
            label,
            class_name(names, label),
            int(totals[label]),
            int(clean[label]),
            tuple(None if counts is None else int(counts[label]) for counts in worst),
        )
        for label in np.flatnonzero(totals).tolist()
    )


def _confusions(record: Record, names: Sequence[str]) -> tuple[Confusion, ...]:
    known = ranked(names)
    found = []
    for label in ("0", *record.info["suite"]["grid"]):
        here = []
        for sign, read_as, count in record.mistakes.get(label, ()):
            inside = known and max(sign, read_as) < len(names) and sign != read_as
            level, why = danger(names[sign], names[read_as]) if inside else (0, "")
            here.append(Confusion(label, sign, read_as, count, level, why))
        found += sorted(here, key=lambda c: (-c.danger, -c.count, c.label, c.read_as))
    return tuple(found)


def _spent(record: Record) -> tuple[Spent, ...]:
    found = []
    for (attack, label), score in record.scores.items():
        if attack not in (CLEAN, WORST):
            told = of_cell(record.info, attack, label)
            numbers = (told.get(name) for name in ("seconds", "peak_memory", "useful_gradients"))
            found.append(Spent(attack, label, score.forwards, score.backwards, *numbers))
    attacks = [str(attack["id"]) for attack in record.info["suite"]["attacks"]]
    return tuple(sorted(found, key=lambda spent: attacks.index(spent.attack)))


def _facts(info: Mapping[str, Any]) -> dict[str, str]:
    """How the run was made, in words; what an old run did not keep is left out."""
    plan, git, device = info.get("plan") or {}, info.get("git") or {}, info["device"]
    found = {
        "run": str(info.get("run_name") or info["run"]),
        "key": str(info["key"]),
        "started": str(info.get("started") or ""),
        "finished": str(info["finished"] or ""),
        "device": str(device["name"]),
        "threads": str(info.get("threads") or ""),
        "batch size": str(plan.get("batch_size") or ""),
        "precision": str(plan.get("precision") or ""),
        "seed of the attacks": str(info["seed"]),
        "sessions": str(info.get("sessions") or ""),
        "out of memory": str(info.get("out_of_memory", "")),
        "unconfirmed proposals": str(info.get("unconfirmed", "")),
        "witnesses kept": str(info.get("witnesses") or ""),
        "source": _source(git),
    }
    found |= {str(name): str(value) for name, value in info["versions"].items()}
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
