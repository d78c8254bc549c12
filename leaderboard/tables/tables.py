"""Records to tables: what may stand together, which run speaks for a model, and how the rows rank."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.base.files import key_of
from harness.evidence.run_info import RunInfo, as_json
from leaderboard.rows import WORST, Column, Other, Ranking, Row, Spent, Table
from leaderboard.runs.record import CLEAN_PLACE, Record, worst_is_attack
from leaderboard.tables.detail import detail_of
from leaderboard.tables.paired import pairs_of
from leaderboard.tables.statistics import ALPHA, rank_intervals
from leaderboard.text import short_hash

TableKey = tuple[str, str, str, int, str, str, str, tuple[str, ...]]
RowKey = tuple[str, str, int]


def definition(info: RunInfo) -> str:
    """Hash of everything that makes the suite's attacks what they are; versions of tools are told apart by row."""
    names = {"id", "tool", "method", "kind", "iterative", "components", "params", "resolved", "code"}
    names |= {"n", "chunk", "after"}
    attacks = [
        {name: content for name, content in as_json(attack).items() if name in names} for attack in info.suite.attacks
    ]
    return key_of({"attacks": attacks, "chunk": info.suite.chunk})[:12]


def table_key(info: RunInfo) -> TableKey:
    """What two runs must share to stand in one table."""
    suite, data = info.suite, info.data
    grid = tuple(suite.labels)
    return data.name, data.slice, suite.norm, data.n, suite.label, definition(info), info.mode, grid


def subjects(records: Iterable[Record]) -> dict[str, str]:
    """Subjects by hash of the weights: older runs, which name the weights alone, share rows with newer ones by it."""
    return {record.info.model.sha256: record.info.subject for record in records if record.info.subject}


def row_key(info: RunInfo, known: Mapping[str, str]) -> RowKey:
    """What makes two runs of one table the same row: the model's name, its subject and the seed.

    Args:
        info: The content of run.json.
        known: See `subjects`.
    """
    told = info.told_subject
    return info.model.name, known.get(told, told), info.seed


def age(record: Record) -> tuple[str, str]:
    """Sorts runs by the time they finished; the key breaks ties, so that the order never depends on the disk."""
    return record.info.finished or "", record.info.key


def choose(records: Sequence[Record]) -> tuple[list[Record], list[tuple[Record, str]]]:
    """For each row the newest complete run, or the newest if none is complete; and the others with the reason."""
    groups: dict[RowKey, list[Record]] = {}
    known = subjects(records)
    for record in records:
        groups.setdefault(row_key(record.info, known), []).append(record)
    chosen, others = [], []
    for _, group in sorted(groups.items()):
        best = max(group, key=lambda record: (record.complete, age(record)))
        chosen.append(best)
        rest = sorted((record for record in group if record is not best), key=age, reverse=True)
        others += [(record, "incomplete" if best.complete and not record.complete else "older") for record in rest]
    return chosen, others


def grouped(records: Sequence[Record]) -> list[list[Record]]:
    """Records that may be compared, group by group, in the order of their keys."""
    groups: dict[TableKey, list[Record]] = {}
    for record in records:
        groups.setdefault(table_key(record.info), []).append(record)
    return [group for _, group in sorted(groups.items())]


def make_tables(records: Sequence[Record]) -> list[Table]:
    """One table for each set of runs that may be compared; the order of `records` does not matter."""
    return [_table(group) for group in grouped(records)]


def _table(group: Sequence[Record]) -> Table:
    chosen, others = choose(group)
    labels = labels_of(chosen)
    info = chosen[0].info
    suite = info.suite
    ranking, ranks = _rank(chosen)
    rows = [(_row(record, labels[place], ranks.get(place)), record) for place, record in enumerate(chosen)]
    rows.sort(key=lambda pair: _order(pair[0], ranking))
    known = subjects(group)
    by_key = {row_key(record.info, known): label for record, label in zip(chosen, labels, strict=True)}
    return Table(
        norm=suite.norm,
        data=info.data.name,
        slice=info.data.slice,
        n=info.data.n,
        suite=suite.label,
        definition=definition(info),
        mode=info.mode,
        grid=tuple(suite.labels),
        attacks=tuple(Column(a.id, a.tool, a.caveats, a.method, a.iterative, dict(a.params)) for a in suite.attacks),
        worst_is_attack=worst_is_attack(info),
        ranking=ranking,
        rows=tuple(row for row, _ in rows),
        others=tuple(
            Other(by_key[row_key(o.info, known)], o.folder.name, o.info.finished or "", o.info.status, reason)
            for o, reason in others
        ),
        pairs=tuple(pairs_of([record for _, record in rows])),
        classes=next((tuple(r.info.classes) for r in chosen if r.info.classes), ()),
    )


def _rank(records: Sequence[Record]) -> tuple[Ranking | None, dict[int, tuple[int, int]]]:
    """The ranking cell and the rank intervals by place in `records`.

    The cell is the worst case at the largest epsilon complete in all rows; rows without a complete worst case at any
    epsilon are not ranked and do not hold the others back.
    """
    grid = records[0].info.suite.labels
    able = [i for i, record in enumerate(records) if any((WORST, label) in record.survivors for label in grid)]
    for label in reversed(grid):
        if able and all((WORST, label) in records[i].survivors for i in able):
            intervals = rank_intervals([records[i].survivors[WORST, label] for i in able])
            return Ranking(label, len(able), ALPHA), dict(zip(able, intervals, strict=True))
    return None, {}


def _order(row: Row, ranking: Ranking | None) -> tuple[Any, ...]:
    """Best first on the ranking cell, then by clean accuracy and label; rows that are not ranked last."""
    score = next((s for s in row.worst if ranking and s.epsilon_label == ranking.epsilon_label), None)
    robust = score.accuracy if score and score.accuracy is not None else -1.0
    return row.rank is None, -robust, -(row.clean.accuracy or 0.0), row.label, row.run


def labels_of(records: Sequence[Record]) -> list[str]:
    """A name for each record that tells it from the others: weights or seed are added where the name does not do."""
    names = Counter(record.info.model.name for record in records)
    labels = []
    for record in records:
        name, weights, seed = _shown(record)
        same = [_shown(other) for other in records if other.info.model.name == name]
        extra = []
        if len({key[1] for key in same}) > 1:
            extra.append(short_hash(weights))
        if len({key[2] for key in same}) > 1:
            extra.append(f"seed {seed}")
        labels.append(f"{name} ({', '.join(extra)})" if names[name] > 1 else name)
    return labels


def _shown(record: Record) -> RowKey:
    """What a reader is told of a row: name, weights and seed."""
    return record.info.model.name, record.info.model.sha256, record.info.seed


def _row(record: Record, label: str, rank: tuple[int, int] | None) -> Row:
    info = record.info
    card = info.card or {}
    suite = info.suite
    detail = detail_of(record)
    return Row(
        label=label,
        model=info.model.name,
        weights=info.model.sha256,
        seed=info.seed,
        defense=card.get("defense"),
        architecture=card.get("architecture"),
        trained_for=_trained_for(card.get("trained_for") or {}),
        rank=rank,
        clean=record.scores[CLEAN_PLACE],
        cells=tuple(record.scores[attack.id, e] for attack in suite.attacks for e in suite.labels),
        worst=tuple(record.scores[WORST, e] for e in suite.labels),
        seconds=_seconds(info, detail.spent),
        device=info.device.name,
        versions=dict(info.versions),
        tools={attack.id: attack.tool_version for attack in suite.attacks},
        # Why no fast copy was made concerns speed alone.
        findings=tuple(note for note in record.findings if note.check != "copy"),
        grade=record.grade,
        verified=record.verified,
        status=info.status,
        run=record.folder.name,
        finished=info.finished or "",
        detail=detail,
    )


def _seconds(info: RunInfo, spent: Sequence[Spent]) -> float | None:
    told = [cell.seconds for cell in spent if cell.forwards or cell.backwards or cell.seconds is not None]
    known = [seconds for seconds in told if seconds is not None]
    if known and len(known) == len(told):
        return round(sum(known), 3)
    # A run without a ledger tells the time of its own sessions, in which units taken over cost nothing.
    return None if info.reused else float(info.seconds)


def _trained_for(threat: Mapping[str, Any]) -> str | None:
    """``linf 3/255``; None for an undefended model."""
    words = [str(threat[key]) for key in ("norm", "epsilon") if threat.get(key) is not None]
    return " ".join(words) or None
