"""The facts of a run, place by place: each sample exactly once, and nothing that the run did not ask for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from harness.base.threat import Epsilon
from harness.errors import BadRun
from harness.evidence.facts import CLEAN
from harness.evidence.facts import concat as concat_facts
from harness.evidence.facts import empty as no_facts
from harness.evidence.run_info import RunInfo
from harness.evidence.store import RunStore
from harness.evidence.suite_info import AttackInfo
from harness.evidence.until import stop
from harness.trust.verify.verdict import Contradictions, Ids, Mask, samples

Place = tuple[str, str | None, int]
"""Attack, component (None for the whole attack) and position in the grid."""
Rows = Mapping[str, NDArray[Any]]
"""The columns of one place, [n] each, by ascending sample id; nulls are NaN, -1 or None."""
CLEAN_PLACE: Place = (CLEAN, None, 0)
NOT_DRAWN = "not_drawn"
"""Stands for the outcome, in `Rows`, of a sample that an attack with an n did not run on; facts never have it."""
_REQUIRED = (
    "sample_id",
    "label",
    "attack",
    "epsilon",
    "epsilon_label",
    "outcome",
    "clean_pred",
    "forwards",
    "backwards",
)
_KEYS = ("attack", "component", "epsilon")


@dataclass(frozen=True, kw_only=True)
class CountedRun:
    """The facts of a run; places whose facts are not exactly one a sample are left out."""

    folder: Path
    """Where the run lies."""
    info: RunInfo
    """The content of run.json, which `harness.evidence.run_info` has checked."""
    grid: tuple[Epsilon, ...]
    ids: Ids
    """All samples, ascending."""
    rows: Mapping[Place, Rows]
    """An attack that ran on a part of the samples has rows of `NOT_DRAWN` for the others."""
    facts: pa.Table
    """Facts of all places, exact or not."""

    drawn: Mapping[str, Mask]
    """By attack, which samples it ran on by its facts, bool [n]."""

    @property
    def whole(self) -> bool:
        """Whether the facts of every place are exact, so that sums and witnesses can be held to them."""
        return all(place in self.rows for place in places(self.info))

    @property
    def attacks(self) -> tuple[AttackInfo, ...]:
        """The attacks as run.json has them."""
        return self.info.suite.attacks

    def name(self, place: Place) -> str:
        """``pgd-20 at 8/255``."""
        attack, component, at = place
        whole = attack if component is None else f"{attack} ({component})"
        return whole if attack == CLEAN else f"{whole} at {self.grid[at]}"


def places(info: RunInfo) -> Iterator[Place]:
    """Every place the run must have facts of: the clean pass, and attacks x components x epsilons."""
    yield CLEAN_PLACE
    for attack in info.suite.attacks:
        for component in (None, *attack.components):
            for at in range(len(info.suite.epsilons)):
                yield attack.id, component, at


def read_records(store: RunStore, info: RunInfo, problems: Contradictions) -> CountedRun | None:
    """The facts on disk; names those that are missing, doubled or foreign. None if they cannot be used at all."""
    try:
        found = store.all_facts()
        found.validate(full=True)  # text that is no text, for instance
    except (BadRun, pa.ArrowException) as error:
        problems.add("facts", str(error))
        return None
    nulls = [name for name in _REQUIRED if found[name].null_count]
    if nulls:
        problems.add("facts", f"{found[nulls[0]].null_count} facts have no {nulls[0]}")
        return None
    grid = info.suite.grid
    by_place = _split(found, info, grid, problems)
    ids = np.unique(by_place.get(CLEAN_PLACE, no_facts())["sample_id"].to_numpy())
    if len(ids) != info.data.n:
        problems.add("facts", f"the clean pass has facts of {len(ids)} samples, run.json names {info.data.n}")
        # Whatever else is missing or foreign follows from that.
        whole = concat_facts(by_place.values())
        return CountedRun(folder=store.folder, info=info, grid=grid, ids=ids, rows={}, facts=whole, drawn={})
    exact: dict[Place, Rows] = {}
    bad: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    drawn = {attack.id: _drawn(attack, info, by_place, ids, problems) for attack in info.suite.attacks}
    whole = concat_facts(by_place.values())
    records = CountedRun(folder=store.folder, info=info, grid=grid, ids=ids, rows=exact, facts=whole, drawn=drawn)
    for place in places(info):
        mine = by_place.get(place, no_facts())
        asked = ids if place == CLEAN_PLACE else ids[drawn[place[0]]]
        if inexact := _inexact(mine["sample_id"].to_numpy(), asked):
            for what, ids_ in inexact.items():
                bad.setdefault((what, tuple(ids_.tolist())), []).append(records.name(place))
            continue
        label = "0" if place == CLEAN_PLACE else grid[place[2]].label
        if wrong := set(mine["epsilon_label"].to_pylist()) - {label}:
            problems.add("facts", f"{records.name(place)}: the epsilon is labeled {min(wrong)!r:.40}")
        columns = _columns(mine.take(np.argsort(mine["sample_id"].to_numpy())))
        if place != CLEAN_PLACE and CLEAN_PLACE in exact:
            columns = _spread(columns, drawn[place[0]], exact[CLEAN_PLACE])
        if len(columns["outcome"]) == len(ids):
            exact[place] = columns
    for (what, which), names in bad.items():  # one line for a lost file, which may hold a cascade's components
        more = f" and {len(names) - 1} more places" if len(names) > 1 else ""
        problems.add("facts", f"{names[0]}{more}: facts are {what} ({samples(which)})")
    return records


def check_draw(records: CountedRun, order: Ids, problems: Contradictions) -> None:
    """Refuse attacks that did not run on the first samples of the slice.

    Args:
        records: The run's facts.
        order: The slice's sample ids in its fixed order.
        problems: Takes what is wrong.
    """
    for attack in records.attacks:
        prefix = np.isin(records.ids, order[: records.info.samples_of(attack)])
        if (other := prefix != records.drawn[attack.id]).any():
            told = samples(records.ids[other].tolist())
            problems.add("draw", f"{attack.id}: its samples are not the first ones of the slice's order ({told})")
            return
    if records.info.suite.until is not None:
        reached = records.info.reached or {}
        by_rule = stop(records.info, records.facts, order) or {}
        if reached != {name: by_rule.get(name) for name in reached} or not reached:
            rule = f"until {100 * records.info.suite.until:g} points"
            problems.add("draw", f"the rule, {rule}, stops at {by_rule or 'more samples'}, the run at {reached}")


def _drawn(
    attack: AttackInfo, info: RunInfo, by_place: Mapping[Place, pa.Table], ids: Ids, problems: Contradictions
) -> Mask:
    """Which of `ids` the attack ran on, as its facts at the smallest epsilon say; all, unless it has an n."""
    count = info.samples_of(attack)
    if count >= info.data.n:
        return np.ones(len(ids), bool)
    here = by_place.get((attack.id, None, 0), no_facts())["sample_id"].to_numpy()
    mask: Mask = np.isin(ids, here)
    if int(mask.sum()) != count:
        problems.add("draw", f"{attack.id} has facts of {int(mask.sum())} samples, run.json names {count}")
    return mask


def _spread(columns: dict[str, NDArray[Any]], drawn: Mask, clean: Rows) -> dict[str, NDArray[Any]]:
    """Columns of the drawn samples as columns of all; of the others, label and clean prediction are known."""
    if drawn.all():
        return columns
    whole: dict[str, NDArray[Any]] = {}
    for name, values in columns.items():
        missing: Any = None if values.dtype == object else np.nan if values.dtype.kind == "f" else -1
        filled = np.full(len(drawn), missing, values.dtype)
        filled[drawn] = values
        whole[name] = filled
    whole["sample_id"] = clean["sample_id"]
    whole["outcome"][~drawn] = NOT_DRAWN
    for name in ("label", "clean_pred"):
        whole[name][~drawn] = clean[name][~drawn]
    return whole


def _split(
    found: pa.Table, info: RunInfo, grid: tuple[Epsilon, ...], problems: Contradictions
) -> dict[Place, pa.Table]:
    """Facts by place; those of no place are named and left out."""
    known: dict[tuple[Any, ...], Place] = {(*CLEAN_PLACE[:2], 0.0): CLEAN_PLACE}
    for attack, component, at in places(info):
        if attack != CLEAN:
            known[attack, component, grid[at].value] = attack, component, at
    mixed = np.zeros(len(found), np.int64)
    columns = []
    for name in _KEYS:
        encoded = found[name].combine_chunks().dictionary_encode(null_encoding="encode")
        numbers, values = encoded.indices.to_numpy(), encoded.dictionary.to_pylist()
        columns.append((numbers, values))
        mixed = mixed * (len(values) + 1) + numbers
    order = np.argsort(mixed, kind="stable")
    cuts = np.flatnonzero(np.diff(mixed[order])) + 1
    by_place = {}
    for rows in np.split(order, cuts) if len(order) else []:
        key = tuple(values[numbers[rows[0]]] for numbers, values in columns)
        if key in known:
            by_place[known[key]] = found.take(rows)
        else:
            what = f"attack {key[0]!r:.40}, component {key[1]!r:.40}, epsilon {key[2]}"
            problems.add("facts", f"{len(rows)} facts are of {what}, which run.json does not name")
    return by_place


def _inexact(here: Ids, ids: Ids) -> dict[str, Ids]:
    """The samples that are missing, doubled or foreign, where `here` is not each of `ids` once."""
    once, counts = np.unique(here, return_counts=True)
    kinds = {"missing": np.setdiff1d(ids, once), "doubled": once[counts > 1], "foreign": np.setdiff1d(once, ids)}
    return {what: bad for what, bad in kinds.items() if len(bad)}


def _columns(mine: pa.Table) -> dict[str, NDArray[Any]]:
    columns = {}
    for field in mine.schema:
        column = mine[field.name]
        if pa.types.is_integer(field.type):
            column = pc.fill_null(column, -1)
        elif pa.types.is_floating(field.type):
            column = pc.fill_null(column, math.nan)
        columns[field.name] = column.to_numpy(zero_copy_only=False)
    return columns
