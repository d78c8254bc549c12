"""Facts: what is known of one sample under one attack at one epsilon. All metrics are folds over them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harness.errors import BadRun
from harness.evidence import facts, parquet

SCHEMA_VERSION = 1

Outcome = Literal["clean_wrong", "witness", "inherited", "survived", "not_run", "error"]
OUTCOMES = ("clean_wrong", "witness", "inherited", "survived", "not_run", "error")
BROKEN = ("witness", "inherited")
KNOWN = ("clean_wrong", "witness", "inherited", "survived")
"""Outcomes that say what happened; the others leave the cell incomplete."""
PROMISE = b"harness.witnesses_stored"
NEVER_NULL = ("sample_id", "label", "attack", "epsilon", "epsilon_label", "outcome")
NO_GRADIENT = "no_gradient"
REASONS = ("cascade", "budget", "timeout", "not_installed", "exception", NO_GRADIENT)
"""Why nothing is known; `NO_GRADIENT`: the attack needs a gradient, and the model gives none."""
IMPLIED = "implied"
"""Reason of a survivor, in mode ``bisection`` only: it was not attacked, for it survived a larger epsilon."""
CLEAN = "clean"
"""The attack id of the clean pass: one fact a sample, epsilon 0, ``survived`` or ``clean_wrong``."""

SCHEMA = pa.schema(
    [
        ("sample_id", pa.int64()),
        ("label", pa.int64()),
        ("attack", pa.string()),
        ("component", pa.string()),
        ("target", pa.int64()),
        ("epsilon", pa.float64()),
        ("epsilon_label", pa.string()),
        ("outcome", pa.string()),
        ("reason", pa.string()),
        ("origin_epsilon", pa.float64()),
        ("source", pa.string()),
        ("query_index", pa.int64()),
        ("restart", pa.int64()),
        ("distance", pa.float64()),
        ("margin", pa.float64()),
        ("clean_pred", pa.int64()),
        ("adv_pred", pa.int64()),
        ("forwards", pa.int64()),
        ("backwards", pa.int64()),
        ("dead_gradients", pa.int64()),
    ],
    metadata={"harness.facts": str(SCHEMA_VERSION)},
)


def table(n: int, columns: Mapping[str, Any]) -> pa.Table:
    """A table of `n` facts; a column is an array, a list, or one value for all rows, and null where it is absent.

    Masked numpy arrays become nulls.
    """
    arrays = []
    for field in SCHEMA:
        value = columns.get(field.name)
        if value is None or isinstance(value, (str, int, float)):
            arrays.append(pa.array([value] * n, field.type))
        elif isinstance(value, np.ma.MaskedArray):
            mask = np.ma.getmaskarray(value)
            arrays.append(pa.array(value.filled(0), field.type, mask=mask))
        else:
            arrays.append(pa.array(value, field.type))
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def empty() -> pa.Table:
    """A table without facts."""
    return SCHEMA.empty_table()


def concat(tables: Iterable[pa.Table]) -> pa.Table:
    """All facts in one table, in the order given."""
    return pa.concat_tables([empty(), *tables])


def write(path: Path, facts: pa.Table) -> None:
    """Write facts as parquet (not atomically; see `harness.evidence.store`)."""
    parquet.write(path, facts)


def promising(facts: pa.Table, witnesses: int) -> pa.Table:
    """The same facts, with a note of how many witnesses were stored along with them."""
    return facts.replace_schema_metadata({**(facts.schema.metadata or {}), PROMISE: str(witnesses)})


def promised(facts: pa.Table) -> bool:
    """Whether witnesses were stored along with `facts`, as their file says; False where it says nothing."""
    return bool((facts.schema.metadata or {}).get(PROMISE, b"0") != b"0")


def read(path: Path) -> pa.Table:
    """Read a facts file.

    Raises:
        BadRun: not parquet, torn, too large, or of a schema this version does not know.
    """
    found = parquet.read(path, (SCHEMA,), "harness.facts", "facts")
    check(found, path)
    return found


def check(found: pa.Table, path: Path) -> None:
    """Refuse facts that contradict themselves.

    Raises:
        BadRun: an unknown outcome, a broken sample without a witness's distance, or a fact about nothing.
    """
    if empty := [name for name in NEVER_NULL if found[name].null_count]:
        raise BadRun(f"{path}: a fact has no {empty[0]}; the file was altered or written by another program")
    outcomes = found["outcome"].to_numpy(zero_copy_only=False)
    if unknown := set(outcomes.tolist()) - set(OUTCOMES):
        raise BadRun(f"{path}: unknown outcome {sorted(map(str, unknown))[0]!r}; expected one of {', '.join(OUTCOMES)}")
    broken = np.isin(outcomes, BROKEN)
    distances = found["distance"].to_numpy(zero_copy_only=False).astype(float)
    if np.isnan(distances[broken]).any():
        raise BadRun(f"{path}: a broken sample has no distance; the file was altered or written by another program")


def broken_rows(before: pa.Table, n: int, epsilon: float | None = None) -> np.ndarray:
    """Which of `n` chunk rows the facts call broken (at `epsilon`, if they are of several), bool [n]."""
    whole = of_whole(before)
    if epsilon is not None:
        whole = whole.filter(pc.equal(whole["epsilon"], epsilon))
    if len(whole) != n:
        raise ValueError(f"facts are of {len(whole)} samples, the chunk has {n}")
    return np.isin(whole["outcome"].to_numpy(zero_copy_only=False), facts.BROKEN)


def of_whole(table: pa.Table) -> pa.Table:
    """Without the facts of components."""
    return table.filter(pc.is_null(table["component"]))
