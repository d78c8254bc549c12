"""Records to tables: what may stand together, which run speaks for a model, and how the rows rank."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.evidence.autoattack import is_verdict
from harness.evidence.run_info import RunInfo
from harness.evidence.suite_label import definition, shown_label
from leaderboard.rows import WORST, Note, Other, Ranking, Row, Score, Table
from leaderboard.runs.record import CLEAN_PLACE, Record, worst_is_attack
from leaderboard.tables.columns import beside, shared, sources
from leaderboard.tables.corrupted import with_baseline
from leaderboard.tables.detail import detail_of, seconds_of
from leaderboard.tables.paired import pairs_of, worst_differences
from leaderboard.tables.statistics import ALPHA, ranks
from leaderboard.text import short_hash

TableKey = tuple[str, str, int, str, str, str, tuple[str, ...]]
RowKey = tuple[str, str, int]


def table_key(info: RunInfo) -> TableKey:
    """What two runs must share to stand in one table; the samples by their hash, whatever the data are called."""
    suite, data = info.suite, info.data
    grid = tuple(suite.labels)
    return data.slice, suite.ruler, data.n, suite.label, definition(suite), info.mode, grid


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
    """For each row the run that speaks for it, and the others with the reason.

    Runs before claims and refuted runs, then complete before incomplete, randomized models asked often before those
    asked once, verified before not, those with more adapted attacks before others, and the newest of those.
    """
    groups: dict[RowKey, list[Record]] = {}
    known = subjects(records)
    for record in records:
        groups.setdefault(row_key(record.info, known), []).append(record)
    chosen, others = [], []
    for _, group in sorted(groups.items()):
        best = max(group, key=_weight)
        chosen.append(best)
        rest = sorted((record for record in group if record is not best), key=age, reverse=True)
        others += [(record, _reason(record, best)) for record in rest]
    return chosen, others


def _weight(record: Record) -> tuple[Any, ...]:
    drawn = record.info.randomness is not None
    return record.standing > 1, record.complete, drawn, record.standing, _adapted(record), age(record)


def _adapted(record: Record) -> int:
    return sum(attack.adapt is not None for attack in record.info.suite.attacks)


def _reason(record: Record, best: Record) -> str:
    """Why `best` speaks for the row and not `record`."""
    if record.standing < min(best.standing, 2):
        return "refuted by verification" if record.refuted else "a claim"
    if (record.info.key, record.info.finished) == (best.info.key, best.info.finished):
        return "the same run again"
    if best.complete and not record.complete:
        return "incomplete"
    if best.info.randomness is not None and record.info.randomness is None:
        return "a randomized model, asked once"
    if record.standing < best.standing and age(record) > age(best):
        return "not verified" if record.standing < 3 else "not replayed"
    if _adapted(record) < _adapted(best):
        return "fewer adapted attacks"
    return "older"


def grouped(records: Sequence[Record]) -> list[list[Record]]:
    """Records that may be compared, group by group, in the order of their keys; joined ones behind all others."""
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        runs = () if record.joined is None else (record.joined.cheap, record.joined.dear)
        pair = tuple(table_key(run.info) for run in runs)
        groups.setdefault((bool(pair), table_key(record.info), pair), []).append(record)
    named = {key: _data_of(group) for key, group in groups.items()}
    return [groups[key] for key in sorted(groups, key=lambda key: (key[0], named[key], *key[1:]))]


def _data_of(group: Sequence[Record]) -> str:
    """What the data of a table are called: their names, if the same samples have several."""
    return " = ".join(sorted({record.info.data.name for record in group}))


def make_tables(records: Sequence[Record], claims: bool = False, baseline: str | None = None) -> list[Table]:
    """One table for each set of runs that may be compared; the order of `records` does not matter.

    Args:
        records: The runs.
        claims: Whether published files that no board lists are ranked, too; refuted runs never are.
        baseline: Label of the row whose errors under corruptions are the unit of the others'.
    """
    blessed = {_standard(record) for record in records if record.listed}
    tables = []
    for group in grouped(records):
        table = with_baseline(_table(group, claims), baseline)
        tables.append(replace(table, outside=bool(blessed) and (table.suite, table.slice) not in blessed))
    return tables


def _standard(record: Record) -> tuple[str, str]:
    """By what a board compares models: the suite, as it is shown, and the data slice."""
    return shown_label(record.info), record.info.data.slice


def with_attacks(table: Table, attacks: Sequence[str]) -> Table:
    """The table with the columns of `attacks` alone; ranks and the worst case still count every attack of the suite.

    Args:
        table: The table.
        attacks: Ids of attacks, or ``worst``; empty keeps all.
    """
    if not attacks:
        return table

    def kept(scores: tuple[Score, ...]) -> tuple[Score, ...]:
        return tuple(score for score in scores if score.attack in attacks)

    columns, adapted = (
        tuple(column for column in all_of if column.attack in attacks) for all_of in (table.attacks, table.adapted)
    )
    rows = []
    for row in table.rows:
        hidden = tuple(score for score in (*row.cells, *row.adapted) if score.attack not in attacks)
        unshown = (*row.unshown, *hidden)
        rows.append(replace(row, cells=kept(row.cells), adapted=kept(row.adapted), unshown=unshown))
    same = table.worst_is_attack and bool(columns)
    return replace(table, attacks=columns, adapted=adapted, rows=tuple(rows), worst_is_attack=same)


def _table(group: Sequence[Record], claims: bool) -> Table:
    chosen, others = choose(group)
    labels = labels_of(chosen)
    believed = sorted(chosen, key=lambda record: record.standing < 2)  # a claim does not describe the others' table
    info = believed[0].info
    suite = info.suite
    ranking, ranks = _rank(chosen, claims)
    rows = [(_row(record, labels[place], ranks.get(place)), record) for place, record in enumerate(chosen)]
    known = subjects(group)
    rows = [(replace(r, findings=(*r.findings, *_same_weights(one, chosen, known))), one) for r, one in rows]
    rows.sort(key=lambda pair: _order(pair[0], ranking))
    by_key = {row_key(record.info, known): label for record, label in zip(chosen, labels, strict=True)}
    return Table(
        norm=suite.ruler,
        threat=suite.threat,
        data=_data_of(group),
        slice=info.data.slice,
        n=info.data.n,
        suite=shown_label(info),
        definition=definition(suite),
        mode=info.mode,
        grid=tuple(suite.labels),
        attacks=shared(believed),
        adapted=shared((record for _, record in rows), adapted=True),
        worst_is_attack=all(worst_is_attack(record) for record in believed),
        autoattack=_autoattack(believed[0]),
        joined=sources(believed[0].joined),
        ranking=ranking,
        rows=tuple(row for row, _ in rows),
        others=tuple(
            Other(by_key[row_key(o.info, known)], o.folder.name, o.info.finished or "", o.info.status, reason)
            for o, reason in others
        ),
        pairs=tuple(pairs_of([record for _, record in rows])),
        classes=next((tuple(r.info.classes) for r in believed if r.info.classes), ()),
    )


def _autoattack(record: Record) -> bool:
    joined = record.joined
    return is_verdict(record.info) if joined is None else is_verdict(joined.cheap.info, joined.dear.info)


def _same_weights(record: Record, chosen: Sequence[Record], known: Mapping[str, str]) -> list[Note]:
    """A note if other rows have the weights of this one under another name, whatever file they came in."""
    name, subject, _ = row_key(record.info, known)
    keys = [row_key(other.info, known) for other in chosen]
    named = sorted({other for other, theirs, _ in keys if theirs == subject} - {name})
    return (
        [Note("weights", "warn", f"the weights are those of {', '.join(named)}, under another name")] if named else []
    )


def _rank(records: Sequence[Record], claims: bool) -> tuple[Ranking | None, dict[int, tuple[int, int]]]:
    """The ranking cell and the rank intervals by place in `records`.

    The cell is the worst case at the largest epsilon complete in all rows whose runs are complete (in all, if none
    is): a run that stopped early holds nobody back, and is ranked only if it has that cell. Not ranked are rows
    without a complete worst case, refuted runs and, unless `claims`, claims.
    """
    grid = records[0].info.suite.labels
    able = [
        i
        for i, record in enumerate(records)
        if record.standing >= (1 if claims else 2) and any(record.scores[WORST, label].known for label in grid)
    ]
    judges = [i for i in able if records[i].complete] or able
    for label in reversed(grid):
        if judges and all(records[i].scores[WORST, label].known for i in judges):
            ranked = [i for i in able if records[i].scores[WORST, label].known]
            intervals = ranks(len(ranked), worst_differences([records[i] for i in ranked], label))
            return Ranking(label, len(ranked), ALPHA), dict(zip(ranked, intervals, strict=True))
    return None, {}


def _order(row: Row, ranking: Ranking | None) -> tuple[Any, ...]:
    """Best first on the ranking cell, then by clean accuracy and label; rows that are not ranked last."""
    score = next((s for s in row.worst if ranking and s.epsilon_label == ranking.epsilon_label), None)
    robust = score.accuracy if score and score.accuracy is not None else -1.0
    return row.rank is None, -robust, -(row.clean.accuracy or 0.0), row.label, row.run


def labels_of(records: Sequence[Record]) -> list[str]:
    """A name for each record that tells it from the others: weights or seed are added where the name does not do.

    A claim says that it is one, and a randomized model how its answer was taken.
    """
    labels = []
    for record in records:
        name, weights, seed = _shown(record)
        same = [_shown(other) for other in records if other.info.model.name == name]
        extra = []
        if len({key[1] for key in same}) > 1:
            extra.append(short_hash(weights))
        if len({key[2] for key in same}) > 1:
            extra.append(f"seed {seed}")
        if record.info.randomness is not None:
            extra.append(record.info.randomness.words)
        if record.claim:
            extra.append("claim")
        labels.append(f"{name} ({', '.join(extra)})" if extra else name)
    return labels


def _shown(record: Record) -> RowKey:
    """What a reader is told of a row: name, weights and seed."""
    return record.info.model.name, record.info.model.sha256, record.info.seed


def _row(record: Record, label: str, rank: tuple[int, int] | None) -> Row:
    info = record.info
    card = info.card or {}
    suite = info.suite
    detail = detail_of(record)
    runs = (record,) if record.joined is None else (record.joined.cheap, record.joined.dear)
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
        cells=tuple(record.scores[a.id, e] for a in suite.attacks if not a.adapt for e in suite.labels),
        tried=None if suite.threat == "corruption" else suite.adapted,
        adapted=tuple(record.scores[name, e] for name in suite.adapted for e in suite.labels),
        worst=tuple(record.scores[WORST, e] for e in suite.labels),
        seconds=seconds_of(record),
        device="; ".join(dict.fromkeys(run.info.device.name for run in runs)),
        versions=dict(info.versions),
        tools={attack.id: attack.tool_version for run in reversed(runs) for attack in run.info.suite.attacks},
        # Why no fast copy was made concerns speed alone.
        findings=tuple(note for note in record.findings if note.check != "copy"),
        grade=record.grade,
        verified=record.verified,
        status=info.status,
        run=record.folder.name,
        finished=info.finished or "",
        detail=detail,
        unshown=beside(record),
    )


def _trained_for(threat: Mapping[str, Any]) -> str | None:
    """``linf 3/255``; None for an undefended model."""
    words = [str(threat[key]) for key in ("norm", "epsilon") if threat.get(key) is not None]
    return " ".join(words) or None
